"""Who is calling? One question, answered by the built-in identity or by Keystone."""

from typing import Protocol

from tintype.domain.callers import Caller


class Authenticator(Protocol):
    """Turns the token of a request into a caller."""

    async def authenticate(self, token: str, service_token: str | None = None) -> Caller:
        """Give the caller; raises Unauthenticated for a token that does not hold.

        `service_token` is that of a service which speaks for the caller.
        """

    async def check(self) -> None:
        """Raise Unavailable where callers cannot be asked for."""
