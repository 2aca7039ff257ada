"""Tokens of the built-in identity, each validated against the database at most once a second.

Revoking a token or a role takes effect within a second in every process, and revoking a token at once in
the process that does it.
"""

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tintype.auth.base import Login, ProjectRef
from tintype.domain.callers import Caller
from tintype.errors import NotFound, Unauthenticated
from tintype.services.identity import Identity, Token

_TRUSTED_SECONDS: Final = 1.0
_CACHED_TOKENS: Final = 10_000


class BuiltinAuthenticator:
    """Validates tokens and caches them for a second."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._cache: dict[str, tuple[float, Token]] = {}

    async def authenticate(
        self,
        token: str,
        service_token: str | None = None,  # noqa: ARG002
        *,
        address: str,  # noqa: ARG002
    ) -> Caller:
        """Return the caller; service tokens are ignored, and forged tokens fail on their signature."""
        return (await self.token(token)).caller

    async def check(self) -> None:
        """Do nothing: the database has a check of its own."""

    async def close(self) -> None:
        """Do nothing: nothing runs in the background."""

    async def token(self, value: str) -> Token:
        """Return the validated token."""
        moment = time.monotonic()
        cached = self._cache.get(value)
        if cached is not None and moment < cached[0] and time.time_ns() // 1000 < cached[1].expires_at:
            return cached[1]
        try:
            token = await self._identity.validate(value)
        except Unauthenticated:
            self._cache.pop(value, None)
            raise
        if len(self._cache) >= _CACHED_TOKENS:
            self._cache.clear()
        self._cache[value] = (moment + _TRUSTED_SECONDS, token)
        return token

    def invalidate(self, value: str) -> None:
        """Remove a token from the cache."""
        self._cache.pop(value, None)


class BuiltinLogins:
    """Logins with a name and a password of the built-in identity."""

    kind = "builtin"

    def __init__(self, identity: Identity, tokens: BuiltinAuthenticator) -> None:
        self._identity = identity
        self._tokens = tokens

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Return an unscoped token. The only domain is Default."""
        if domain.lower() != "default":
            raise Unauthenticated("The only domain is Default.")
        return _login(
            await self._identity.login(
                user_id=None, user_name=name, password=password, project=None, address=address
            )
        )

    async def projects(self, token: str) -> Sequence[ProjectRef]:
        """Return the projects in which the bearer has a role."""
        user = (await self._tokens.token(token)).caller.user_id
        projects = await self._identity.projects.of_user(user)
        return [ProjectRef(each.id, each.name) for each in projects]

    async def rescope(self, token: str, project_id: str) -> Login:
        """Return a token of a project."""
        return _login(await self._identity.rescope(token, {"id": project_id}))

    async def log_out(self, token: str) -> None:
        """Revoke a token and all tokens of its chain."""
        try:
            await self._identity.revoke(await self._identity.validate(token))
        except Unauthenticated:
            return
        finally:
            self._tokens.invalidate(token)

    async def project(self, token: str, ref: str) -> ProjectRef:  # noqa: ARG002 (every user may look one up)
        """Return the project with an id or a name. Raises NotFound."""
        try:
            found = await self._identity.projects.find(ref)
        except NotFound:
            raise NotFound(f"There is no project '{ref}'.") from None
        return ProjectRef(found.id, found.name)

    async def project_names(self, token: str, ids: Collection[str]) -> Mapping[str, str]:  # noqa: ARG002
        """Return the names of projects by id."""
        names = {}
        for project_id in ids:
            with contextlib.suppress(NotFound):
                found = await self._identity.projects.find(project_id)
                names[found.id] = found.name
        return names


def _login(token: Token) -> Login:
    return Login(token.value, token.expires_at / 1_000_000)
