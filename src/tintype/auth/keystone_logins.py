"""Logins with a name and a password of a Keystone (Identity API v3), for people in browsers."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from keystoneauth1 import session as keystone
from keystoneauth1.exceptions import ClientException

from tintype.auth.base import Login, Place
from tintype.auth.keystone import KeystoneAuthenticator, unexpected, unreachable, version_3
from tintype.errors import Forbidden, TooManyAttempts, Unauthenticated

_THREADS: Final = 4
_WAITING: Final = 64
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
        self._threads = ThreadPoolExecutor(_THREADS, "logins")  # not those that validate everybody's tokens
        self._waiting = 0

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:  # noqa: ARG002
        """Give a token of no project. Keystone itself counts failures."""
        user = {"name": name, "password": password, "domain": {"name": domain}}
        method = {"methods": ["password"], "password": {"user": user}}
        return await self._token({"identity": method, "scope": "unscoped"}, _WRONG)

    async def places(self, token: str) -> Sequence[Place]:
        """Give the projects that the bearer may work in."""
        answer = await self._ask("GET", "auth/projects", {"X-Auth-Token": token})
        if answer.status_code == 401:
            raise Unauthenticated(_NO_ROLE)
        if answer.status_code != 200:
            raise unexpected(answer.status_code)
        open_ones = [each for each in answer.json()["projects"] if each.get("enabled", True)]
        found = [Place(each["id"], each["name"]) for each in open_ones]
        return sorted(found, key=lambda place: place.name)

    async def enter(self, token: str, project_id: str) -> Login:
        """Give a token of a project in return; the old one ends by itself.

        Raises Forbidden where Keystone's `allow_rescope_scoped_token` lets no token go to another project.
        """
        method = {"methods": ["token"], "token": {"id": token}}
        scope = {"project": {"id": project_id}}
        return await self._token({"identity": method, "scope": scope}, _NO_ROLE)

    async def log_out(self, token: str) -> None:
        """Make a token void, here at once."""
        try:
            answer = await self._ask(
                "DELETE", "auth/tokens", {"X-Auth-Token": token, "X-Subject-Token": token}
            )
        finally:
            self._authenticator.forget(token)
        if answer.status_code not in {204, 401, 404}:
            raise unexpected(answer.status_code)

    async def project_id(self, token: str, name: str) -> str:
        """Give the id of a project by its id or name, to who may look them up; otherwise the text itself."""
        headers = {"X-Auth-Token": token}
        known = await self._ask("GET", f"projects/{quote(name, safe='')}", headers)
        if known.status_code == 200:
            return name
        answer = await self._ask("GET", "projects", headers, params={"name": name})
        found = answer.json()["projects"] if answer.status_code == 200 else []
        return str(found[0]["id"]) if len(found) == 1 else name

    async def _token(self, auth: Mapping[str, Any], refusal: str) -> Login:
        answer = await self._ask("POST", "auth/tokens?nocatalog", {}, json={"auth": auth})
        if answer.status_code == 429:
            raise TooManyAttempts(
                "The identity service asks to slow down. Try again in 5 seconds.", Retry_After="5"
            )
        if answer.status_code >= 500:
            raise unexpected(answer.status_code)
        if "Openstack-Auth-Receipt" in answer.headers:
            raise Unauthenticated("This user needs a second factor, which cannot be given here.")
        if answer.status_code == 403:
            raise Forbidden(
                "The identity service does not let a session go to another project: log in again."
            )
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
                raise unreachable(error) from error

        if self._waiting >= _WAITING:
            raise TooManyAttempts("Too many logins at once. Try again in 2 seconds.", Retry_After="2")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, send)
        finally:
            self._waiting -= 1
