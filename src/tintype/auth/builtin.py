"""Tokens of the built-in identity, checked against the database at most once a second each.

So what is revoked, or taken away, is gone within a second in every process, and at once in the
one that was told.
"""

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tintype.auth.base import Login, Place
from tintype.domain.callers import Caller
from tintype.errors import NotFound, Unauthenticated
from tintype.services.identity import Identity, Token

_TRUSTED_SECONDS: Final = 1.0
_CACHED_TOKENS: Final = 10_000


class BuiltinAuthenticator:
    """Remembers callers by token, for a second."""

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
        """Return the caller; here no service speaks for others, and a signature tells made-up tokens."""
        return (await self.token(token)).caller

    async def check(self) -> None:
        """Do nothing: the database is asked by itself."""

    async def token(self, value: str) -> Token:
        """Give what a token stands for."""
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

    def forget(self, value: str) -> None:
        """Trust a token no longer without asking."""
        self._cache.pop(value, None)


class BuiltinLogins:
    """Logins with a name and a password of the built-in identity."""

    kind = "builtin"

    def __init__(self, identity: Identity, tokens: BuiltinAuthenticator) -> None:
        self._identity = identity
        self._tokens = tokens

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Give a token of no project; the one domain is Default."""
        if domain.lower() != "default":
            raise Unauthenticated("The only domain here is Default.")
        return _login(
            await self._identity.login(
                user_id=None, user_name=name, password=password, project=None, address=address
            )
        )

    async def places(self, token: str) -> Sequence[Place]:
        """Give the projects that the bearer may work in."""
        user = (await self._tokens.token(token)).caller.user_id
        return [Place(project.id, project.name) for project in await self._identity.projects.of_user(user)]

    async def enter(self, token: str, project_id: str) -> Login:
        """Give a token of a project in return."""
        return _login(await self._identity.exchange(token, {"id": project_id}))

    async def log_out(self, token: str) -> None:
        """Make a token void, and those it was exchanged for."""
        try:
            await self._identity.revoke(await self._identity.validate(token))
        except Unauthenticated:
            return
        finally:
            self._tokens.forget(token)

    async def project(self, token: str, ref: str) -> Place:  # noqa: ARG002 (every user may look one up)
        """Return the project with an id or a name; raises NotFound where there is none."""
        try:
            found = await self._identity.projects.find(ref)
        except NotFound:
            raise NotFound(f"There is no project '{ref}'.") from None
        return Place(found.id, found.name)

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
