"""The interfaces of authentication, implemented for the built-in identity and for Keystone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from tintype.domain.callers import Caller


class Authenticator(Protocol):
    """Authenticates the tokens of requests."""

    async def authenticate(self, token: str, service_token: str | None = None, *, address: str) -> Caller:
        """Return the caller. Raises Unauthenticated for an invalid token.

        `service_token` is the token of a service that acts for the caller, `address` the client's. Raises
        TooManyAttempts if too many tokens from that address wait to be validated.
        """

    async def check(self) -> None:
        """Raise Unavailable if callers cannot be authenticated."""

    async def close(self) -> None:
        """Stop what runs in the background."""


class Login(msgspec.Struct, frozen=True):
    """A token, which is secret, and its expiry (seconds since the epoch)."""

    token: str
    expires_at: float


class ProjectRef(msgspec.Struct, frozen=True):
    """The id and name of a project."""

    id: str
    name: str


class Logins(Protocol):
    """Logs people in by user name and password."""

    kind: str
    """The kind of identity: `builtin` or `keystone`."""

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Return an unscoped token. Raises Unauthenticated, and TooManyAttempts after failures."""

    async def projects(self, token: str) -> Sequence[ProjectRef]:
        """Return the projects in which the bearer has a role, sorted by name."""

    async def rescope(self, token: str, project_id: str) -> Login:
        """Return a token of a project. Raises Unauthenticated if the bearer has no role there."""

    async def log_out(self, token: str) -> None:
        """Revoke a token; do nothing if it is revoked already."""

    async def project(self, token: str, ref: str) -> ProjectRef:
        """Return the project with an id or a name, as far as the bearer may look up projects.

        The name is empty if only the form of the id could be checked. Raises NotFound if there is no such
        project, Invalid if a name cannot be looked up or several projects have it.
        """

    async def project_names(self, token: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names by id of those projects that the bearer may look up. Never raises."""
