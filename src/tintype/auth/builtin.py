"""Logins with a name and a password of the built-in identity, for people in browsers."""

import contextlib
from collections.abc import Collection, Mapping, Sequence

from tintype.auth.base import Login, ProjectRef
from tintype.errors import NotFound, Unauthenticated
from tintype.services.identity import Identity
from tintype.services.tokens import Token


class BuiltinLogins:
    """Logs in with passwords of the built-in identity."""

    kind = "builtin"

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._tokens = identity.tokens

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
        return _login(await self._tokens.rescope(token, {"id": project_id}))

    async def log_out(self, token: str) -> None:
        """Revoke a token and all tokens of its chain."""
        with contextlib.suppress(Unauthenticated):
            await self._tokens.revoke(await self._tokens.validate(token))

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
