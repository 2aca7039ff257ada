"""Who is calling? One question, answered by the built-in identity or by Keystone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from tintype.domain.callers import Caller


class Authenticator(Protocol):
    """Turns the token of a request into a caller."""

    async def authenticate(self, token: str, service_token: str | None = None, *, address: str) -> Caller:
        """Return the caller; raises Unauthenticated for a token that does not hold.

        `service_token` is that of a service which speaks for the caller, `address` the client's. Raises
        TooManyAttempts where too many tokens from there wait to be checked.
        """

    async def check(self) -> None:
        """Raise Unavailable where callers cannot be asked for."""


class Login(msgspec.Struct, frozen=True):
    """A token, a secret, and when it ends (seconds since the epoch)."""

    token: str
    expires_at: float


class Place(msgspec.Struct, frozen=True):
    """A project that somebody may work in."""

    id: str
    name: str


class Logins(Protocol):
    """How people who have a name and a password, not a token, come by one."""

    kind: str
    """Of identity: `builtin` or `keystone`."""

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Give a token of no project; raises Unauthenticated, and TooManyAttempts after failures."""

    async def places(self, token: str) -> Sequence[Place]:
        """Give the projects that the bearer may work in, by name."""

    async def enter(self, token: str, project_id: str) -> Login:
        """Give a token of a project in return; raises Unauthenticated where the bearer has no role there."""

    async def log_out(self, token: str) -> None:
        """Make a token void; well if it is."""

    async def project(self, token: str, ref: str) -> Place:
        """Return the project with an id or a name, as far as the bearer may look projects up.

        The name is empty where only the form of the id could be checked. Raises NotFound where there is no
        such project, Invalid where a name cannot be looked up or several projects have it.
        """

    async def project_names(self, token: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of projects by id, of those that the bearer may look up; never raises."""
