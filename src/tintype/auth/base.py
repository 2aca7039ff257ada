"""Who is calling? One question, answered by the built-in identity or by Keystone."""

from typing import Protocol

from tintype.domain.callers import Caller


class Authenticator(Protocol):
    """Turns the token of a request into a caller."""

    async def authenticate(self, token: str) -> Caller:
        """Give the caller; raises Unauthenticated for a token that does not hold."""
