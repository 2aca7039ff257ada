"""Logins with a user name and password of a Keystone (Identity API v3), for people in browsers."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from keystoneauth1 import session as keystone

from tintype.auth.base import Login, ProjectRef
from tintype.auth.keystone import KeystoneAuthenticator
from tintype.auth.keystone_calls import unexpected_status, v3_url
from tintype.domain.turns import address_group
from tintype.errors import Forbidden, Invalid, NotFound, TintypeError, TooManyAttempts, Unauthenticated

_WRONG: Final = "The user name, the domain or the password is wrong."
_NO_ROLE: Final = "The project does not exist, or the user has no role in it."


_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
"""The forms of a project's id."""
_LOOK_UPS: Final = 16
"""The most names to look up one by one for a page."""


class KeystoneLogins:
    """Calls Keystone with the user's own token, never as the service's user.

    Tokens passed in have been authenticated, so they, not addresses, are the groups of the queue.
    """

    kind = "keystone"

    def __init__(
        self, session: keystone.Session, auth_url: str, authenticator: KeystoneAuthenticator
    ) -> None:
        """`session` only provides the connection: certificates and timeout."""
        self._session = session
        self._url = v3_url(auth_url)
        self._authenticator = authenticator

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Return an unscoped token. Keystone itself counts failures."""
        user = {"name": name, "password": password, "domain": {"name": domain}}
        method = {"methods": ["password"], "password": {"user": user}}
        auth = {"identity": method, "scope": "unscoped"}
        return await self._token(address_group(address), auth, _WRONG)

    async def projects(self, token: str) -> Sequence[ProjectRef]:
        """Return the projects in which the bearer has a role."""
        answer = await self._ask(token, "GET", "auth/projects", {"X-Auth-Token": token})
        if answer.status_code == 401:
            raise Unauthenticated(_NO_ROLE)
        if answer.status_code != 200:
            raise unexpected_status(answer.status_code)
        open_ones = [each for each in answer.json()["projects"] if each.get("enabled", True)]
        found = [ProjectRef(each["id"], each["name"]) for each in open_ones]
        return sorted(found, key=lambda project: project.name)

    async def rescope(self, token: str, project_id: str) -> Login:
        """Return a token of a project; the old one expires by itself.

        Raises Forbidden if Keystone's `allow_rescope_scoped_token` forbids it.
        """
        method = {"methods": ["token"], "token": {"id": token}}
        scope = {"project": {"id": project_id}}
        return await self._token(token, {"identity": method, "scope": scope}, _NO_ROLE)

    async def log_out(self, token: str) -> None:
        """Revoke a token, with immediate effect in this process."""
        try:
            about = {"X-Auth-Token": token, "X-Subject-Token": token}
            answer = await self._ask(token, "DELETE", "auth/tokens", about)
        finally:
            self._authenticator.invalidate(token)
        if answer.status_code not in {204, 401, 404}:
            raise unexpected_status(answer.status_code)

    async def project(self, token: str, ref: str) -> ProjectRef:
        """Return the project with an id or a name, looked up with the bearer's own token.

        Keystone lets few users look up projects that they have no role in. For the others, text in the form
        of an id is accepted as an id; a name must be that of one of their own projects.
        """
        mine = await self.projects(token)
        if own := [project for project in mine if project.id == ref]:
            return own[0]
        if _ID.fullmatch(ref):
            answer = await self._ask(token, "GET", f"projects/{ref}", {"X-Auth-Token": token})
            if answer.status_code == 200:
                return _project_ref(answer.json()["project"])
            _check_answered(answer.status_code)
            if answer.status_code == 403:
                return ProjectRef(ref.lower(), "")
        return await self._named(token, ref, [project for project in mine if project.name == ref])

    async def project_names(self, token: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of projects by id, as far as Keystone lets the bearer look them up."""
        try:
            names = {project.id: project.name for project in await self.projects(token)}
            for project_id in [each for each in ids if each not in names and _ID.fullmatch(each)][:_LOOK_UPS]:
                answer = await self._ask(token, "GET", f"projects/{project_id}", {"X-Auth-Token": token})
                if answer.status_code == 200:
                    names[project_id] = _project_ref(answer.json()["project"]).name
        except TintypeError:
            return {}  # an id will do
        return names

    async def _named(self, token: str, name: str, mine: Sequence[ProjectRef]) -> ProjectRef:
        about = {"X-Auth-Token": token}
        answer = await self._ask(token, "GET", "projects", about, params={"name": name})
        _check_answered(answer.status_code)
        listed = answer.status_code == 200
        found = [_project_ref(each) for each in answer.json()["projects"]] if listed else mine
        if len(found) == 1:
            return found[0]
        if found:
            raise Invalid(f"Several projects are named '{name}': give the project's ID instead.")
        if listed:
            raise NotFound(f"There is no project '{name}' that you may see: give the project's ID instead.")
        raise Invalid(
            f"Keystone does not let you look up the project '{name}': give the project's ID instead "
            "(32 hexadecimal digits, or a UUID)."
        )

    async def _token(self, group: str, auth: Mapping[str, Any], refusal: str) -> Login:
        answer = await self._ask(group, "POST", "auth/tokens?nocatalog", {}, json={"auth": auth})
        if answer.status_code == 429:
            raise TooManyAttempts(
                "The identity service limits requests. Try again in 5 seconds.", retry_after=5
            )
        if answer.status_code >= 500:
            raise unexpected_status(answer.status_code)
        if "Openstack-Auth-Receipt" in answer.headers:
            raise Unauthenticated("This user needs a second factor, which is not supported.")
        if answer.status_code == 403:
            raise Forbidden(
                "The identity service does not allow a change of project in a session. Log in again."
            )
        if answer.status_code != 201:
            raise Unauthenticated(refusal)
        ends = datetime.fromisoformat(answer.json()["token"]["expires_at"]).timestamp()
        return Login(answer.headers["X-Subject-Token"], ends)

    async def _ask(self, group: str, method: str, path: str, headers: Mapping[str, str], **more: Any) -> Any:
        return await self._authenticator.calls.run(
            "logins",
            group,
            self._session.request,
            f"{self._url}/{path}",
            method,
            headers=dict(headers),
            authenticated=False,
            raise_exc=False,
            log=False,
            **more,
        )


def _project_ref(project: Mapping[str, Any]) -> ProjectRef:
    return ProjectRef(str(project["id"]), str(project["name"]))


def _check_answered(status: int) -> None:
    """Raise Unauthenticated for an invalid token, Unavailable if Keystone fails."""
    if status == 401:
        raise Unauthenticated(_NO_ROLE)
    if status == 429 or status >= 500:
        raise unexpected_status(status)
