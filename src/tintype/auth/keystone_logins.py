"""Logins with a name and a password of a Keystone (Identity API v3), for people in browsers."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from keystoneauth1 import session as keystone

from tintype.auth.base import Login, Place
from tintype.auth.keystone import KeystoneAuthenticator
from tintype.auth.keystone_calls import unexpected, version_3
from tintype.domain.turns import address_group
from tintype.errors import Forbidden, Invalid, NotFound, TintypeError, TooManyAttempts, Unauthenticated

_WRONG: Final = "The user name, the domain or the password is wrong."
_NO_ROLE: Final = "The project does not exist, or the user has no role in it."


_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
"""The forms of a project's id."""
_LOOK_UPS: Final = 16
"""At most so many names are asked for one by one to show a page."""


class KeystoneLogins:
    """Asks Keystone in the name of whoever logs in; our own service user has no part in it.

    Tokens given to it have been authenticated: they, not addresses, take turns.
    """

    kind = "keystone"

    def __init__(
        self, session: keystone.Session, auth_url: str, authenticator: KeystoneAuthenticator
    ) -> None:
        """`session` is only the way there: its certificates and its patience."""
        self._session = session
        self._url = version_3(auth_url)
        self._authenticator = authenticator

    async def log_in(self, *, name: str, password: str, domain: str, address: str) -> Login:
        """Give a token of no project. Keystone itself counts failures."""
        user = {"name": name, "password": password, "domain": {"name": domain}}
        method = {"methods": ["password"], "password": {"user": user}}
        auth = {"identity": method, "scope": "unscoped"}
        return await self._token(address_group(address), auth, _WRONG)

    async def places(self, token: str) -> Sequence[Place]:
        """Give the projects that the bearer may work in."""
        answer = await self._ask(token, "GET", "auth/projects", {"X-Auth-Token": token})
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
        return await self._token(token, {"identity": method, "scope": scope}, _NO_ROLE)

    async def log_out(self, token: str) -> None:
        """Make a token void, here at once."""
        try:
            about = {"X-Auth-Token": token, "X-Subject-Token": token}
            answer = await self._ask(token, "DELETE", "auth/tokens", about)
        finally:
            self._authenticator.forget(token)
        if answer.status_code not in {204, 401, 404}:
            raise unexpected(answer.status_code)

    async def project(self, token: str, ref: str) -> Place:
        """Return the project with an id or a name, looked up with the bearer's own token.

        Keystone lets few users look up projects that they have no role in. To the others, text in the form
        of an id is an id; a name that is not one of their own projects is refused.
        """
        mine = await self.places(token)
        if own := [place for place in mine if place.id == ref]:
            return own[0]
        if _ID.fullmatch(ref):
            answer = await self._ask(token, "GET", f"projects/{ref}", {"X-Auth-Token": token})
            if answer.status_code == 200:
                return _place(answer.json()["project"])
            _check_answered(answer.status_code)
            if answer.status_code == 403:
                return Place(ref.lower(), "")
        return await self._named(token, ref, [place for place in mine if place.name == ref])

    async def project_names(self, token: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of projects by id, as far as Keystone lets the bearer look them up."""
        try:
            names = {place.id: place.name for place in await self.places(token)}
            for project_id in [each for each in ids if each not in names and _ID.fullmatch(each)][:_LOOK_UPS]:
                answer = await self._ask(token, "GET", f"projects/{project_id}", {"X-Auth-Token": token})
                if answer.status_code == 200:
                    names[project_id] = _place(answer.json()["project"]).name
        except TintypeError:
            return {}  # an id will do
        return names

    async def _named(self, token: str, name: str, mine: Sequence[Place]) -> Place:
        about = {"X-Auth-Token": token}
        answer = await self._ask(token, "GET", "projects", about, params={"name": name})
        _check_answered(answer.status_code)
        listed = answer.status_code == 200
        found = [_place(each) for each in answer.json()["projects"]] if listed else mine
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
                "The identity service asks to slow down. Try again in 5 seconds.", retry_after=5
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


def _place(project: Mapping[str, Any]) -> Place:
    return Place(str(project["id"]), str(project["name"]))


def _check_answered(status: int) -> None:
    """Raise Unauthenticated for a token that does not hold, Unavailable where Keystone fails."""
    if status == 401:
        raise Unauthenticated(_NO_ROLE)
    if status == 429 or status >= 500:
        raise unexpected(status)
