"""Roles of the built-in identity, and their assignments to users in projects."""

from typing import Any, Final

from starlette.responses import Response

from tintype.api import identity_wire as forms
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.api.parameters import IN_DOMAIN, NAME, in_query
from tintype.db.identity import Assignment
from tintype.domain.identity import ROLES
from tintype.errors import NotFound
from tintype.services.identity import Identity

_ELSEWHERE: Final = ("group.id", "scope.domain.id", "scope.system", "scope.OS-INHERIT:inherited_to")
"""Filters for kinds of assignments that do not exist here: they match nothing."""
_FILTERS: Final = (
    *(in_query(name, "Filter.") for name in ("user.id", "role.id", "scope.project.id")),
    *(in_query(name, "Filter: matches nothing here.") for name in _ELSEWHERE),
    in_query("effective", "Add implied roles."),
    in_query("include_names", "Add names."),
)


class RolesApi:
    """Handlers of roles and of their assignments."""

    def __init__(self, identity: Identity, reader: forms.TokenReader) -> None:
        self._roles = identity.roles
        self._users = identity.users
        self._projects = identity.projects
        self._reader = reader

    @describe(Answer(200, "roles"), takes=(NAME, IN_DOMAIN[0]), needs="token")
    async def index(self, call: Call) -> Response:
        """List the roles."""
        await self._reader.caller(call)
        wanted = forms.query(call)
        here = not wanted.get("domain_id")
        found = [forms.role_view(role) for role in ROLES if here and wanted.get("name", role) == role]
        return forms.listing(call, "roles", found)

    @describe(Answer(200, "role"), needs="token")
    async def show(self, call: Call) -> Response:
        """Show a role."""
        await self._reader.caller(call)
        return wire.json_response({"role": forms.role_view(forms.role_of(call.params["id"]))})

    @describe(Answer(200, "roles"), needs="token")
    async def granted(self, call: Call) -> Response:
        """List the roles that a user has in a project."""
        await self._reader.admin(call)
        found = await self._roles.assignments(**await self._pair(call))
        return forms.listing(call, "roles", [forms.role_view(each.role) for each in found])

    @describe(Answer(204), needs="token")
    async def check(self, call: Call) -> Response:
        """Return 204 if a user has a role in a project, else 404."""
        await self._reader.admin(call)
        role = forms.role_of(call.params["role"])
        if not await self._roles.assignments(**await self._pair(call), role=role):
            raise NotFound(f"Could not find role assignment with role: {call.params['role']}.")
        return wire.no_content()

    @describe(Answer(204), needs="token")
    async def grant(self, call: Call) -> Response:
        """Grant a user a role in a project."""
        await self._reader.admin(call)
        role, pair = forms.role_of(call.params["role"]), await self._pair(call)
        await self._roles.grant(pair["user_id"], pair["project_id"], role)
        return wire.no_content()

    @describe(Answer(204), errors=(409,), needs="token")
    async def withdraw(self, call: Call) -> Response:
        """Withdraw a role in a project from a user."""
        await self._reader.admin(call)
        role, pair = forms.role_of(call.params["role"]), await self._pair(call)
        await self._roles.revoke(pair["user_id"], pair["project_id"], role)
        return wire.no_content()

    @describe(Answer(200, "role_assignments"), takes=_FILTERS, needs="token")
    async def assignments(self, call: Call) -> Response:
        """List role assignments; `effective` adds implied roles, `include_names` adds names."""
        await self._reader.admin(call)
        wanted = forms.query(call)
        found: list[dict[str, Any]] = []
        if not any(wanted.get(name) for name in _ELSEWHERE):
            effective, names = forms.is_set(wanted, "effective"), forms.is_set(wanted, "include_names")
            for each in await self._roles.assignments(
                user_id=wanted.get("user.id"), project_id=wanted.get("scope.project.id")
            ):
                roles = [role for role in ROLES if role in ROLES[each.role]] if effective else [each.role]
                found += [_view(call, each, role, names=names) for role in roles]
        if "role.id" in wanted:
            found = [each for each in found if each["role"]["id"] == wanted["role.id"]]
        return forms.listing(call, "role_assignments", found)

    async def _pair(self, call: Call) -> dict[str, str]:
        """Return the ids of the user and project in a path; raises NotFound."""
        user = await self._users.get(call.params["user"])
        project = await self._projects.get(call.params["id"])
        return {"user_id": user.id, "project_id": project.id}


def _view(call: Call, each: Assignment, role: str, *, names: bool) -> dict[str, Any]:
    user: dict[str, Any] = {"id": each.user_id}
    project: dict[str, Any] = {"id": each.project_id}
    shown = forms.role_view(role, short=True)
    if names:
        user |= {"name": each.user_name, "domain": forms.DOMAIN}
        project |= {"name": each.project_name, "domain": forms.DOMAIN}
    else:
        del shown["name"]
    path = f"projects/{each.project_id}/users/{each.user_id}/roles/role-{each.role}"
    return {
        "role": shown,
        "user": user,
        "scope": {"project": project},
        "links": {"assignment": forms.self_link(call, path)["self"]},
    }
