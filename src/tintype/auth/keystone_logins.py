"""Logins with a name and a password of a Keystone (Identity API v3), for people in browsers."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from keystoneauth1 import session as keystone
from keystoneauth1.exceptions import ClientException

from tintype.auth.base import Login, Place
from tintype.auth.keystone import KeystoneAuthenticator, silent, version_3
from tintype.errors import TooManyAttempts, Unauthenticated

_WRONG: Final = "The user name, the domain or the password is wrong."
_NO_ROLE: Final = "The project does not exist, or the user has no role in it."


class KeystoneLogins:
    """Asks Keystone in the name of whoever logs in; our own service user has no part in it."""

    kind = "keystone"

    def __init__(
        self, session: keystone.Session, auth_url: str, authenticator: KeystoneAuthenticator
    ) -> None:
        """`session` is only the way there: its certificates and its patience."""
        self._session = session
        self._url = version_3(auth_url)
        self._authenticator = authenticator

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:  # noqa: ARG002
        """Give a token of no project. Keystone itself counts failures."""
        user = {"name": name, "password": password, "domain": {"name": domain}}
        method = {"methods": ["password"], "password": {"user": user}}
        return await self._token({"identity": method, "scope": "unscoped"}, _WRONG)

    async def places(self, token: str) -> Sequence[Place]:
        """Give the projects that the bearer may work in."""
        answer = await self._ask("GET", "auth/projects", {"X-Auth-Token": token})
        if answer.status_code != 200:
            raise Unauthenticated(_NO_ROLE)
        found = [Place(each["id"], each["name"]) for each in answer.json()["projects"]]
        return sorted(found, key=lambda place: place.name)

    async def enter(self, token: str, project_id: str) -> Login:
        """Give a token of a project in return."""
        method = {"methods": ["token"], "token": {"id": token}}
        scope = {"project": {"id": project_id}}
        return await self._token({"identity": method, "scope": scope}, _NO_ROLE)

    async def log_out(self, token: str) -> None:
        """Make a token void, here at once."""
        self._authenticator.forget(token)
        await self._ask("DELETE", "auth/tokens", {"X-Auth-Token": token, "X-Subject-Token": token})

    async def project_id(self, token: str, name: str) -> str:
        """Give the id of a project by its name, to who may list projects; otherwise the text itself."""
        answer = await self._ask("GET", "projects", {"X-Auth-Token": token}, params={"name": name})
        found = answer.json()["projects"] if answer.status_code == 200 else []
        return str(found[0]["id"]) if len(found) == 1 else name

    async def _token(self, auth: Mapping[str, Any], refusal: str) -> Login:
        answer = await self._ask("POST", "auth/tokens?nocatalog", {}, json={"auth": auth})
        if answer.status_code == 429:
            raise TooManyAttempts("The identity service asks for a pause.", Retry_After="5")
        if answer.status_code >= 500:
            raise silent()
        if answer.status_code != 201:
            raise Unauthenticated(refusal)
        ends = datetime.fromisoformat(answer.json()["token"]["expires_at"]).timestamp()
        return Login(answer.headers["X-Subject-Token"], ends)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> Any:
        def send() -> Any:
            try:
                return self._session.request(
                    f"{self._url}/{path}",
                    method,
                    headers=dict(headers),
                    authenticated=False,
                    raise_exc=False,
                    log=False,
                    **more,
                )
            except ClientException as error:
                raise silent() from error

        return await asyncio.get_running_loop().run_in_executor(self._authenticator.threads, send)
