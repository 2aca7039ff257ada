"""Projects of the built-in identity.

Only admins list projects. Every user may look up one by its exact name or id, which is needed to share
an image.
"""

from typing import Any, Final

from starlette.responses import Response

from tintype.api import identity_wire as forms
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.api.parameters import IN_DOMAIN, NAME, in_query
from tintype.db.identity import Project
from tintype.errors import Invalid
from tintype.services.projects import Projects

_FIELDS: Final = ("name", "description", "enabled", "domain_id", "parent_id", "is_domain")
_FILTERS: Final = (
    in_query("parent_id", "Filter: `default` is the parent of all projects."),
    in_query("is_domain", "Filter: no project is a domain."),
)


class ProjectsApi:
    """Handlers of projects."""

    def __init__(self, projects: Projects, reader: forms.TokenReader) -> None:
        self._projects = projects
        self._reader = reader

    @describe(Answer(200, "projects"), takes=(NAME, *IN_DOMAIN, *_FILTERS), needs="token")
    async def index(self, call: Call) -> Response:
        """List projects, or look one up by its exact name."""
        token = await self._reader.caller(call)
        wanted = forms.query(call)
        if "name" not in wanted:
            forms.require_admin(token)
        found = [] if forms.is_set(wanted, "is_domain") else await self._projects.list(wanted.get("name"))
        if wanted.get("parent_id", forms.DOMAIN["id"]) != forms.DOMAIN["id"]:
            found = []
        kept = [project for project in found if forms.in_domain(wanted, enabled=project.enabled)]
        return forms.listing(call, "projects", [_view(call, project) for project in kept])

    @describe(Answer(200, "projects"), needs="token")
    async def mine(self, call: Call) -> Response:
        """List the projects that the caller may work in."""
        token = await self._reader.caller(call)
        found = await self._projects.of_user(token.caller.user_id)
        return forms.listing(call, "projects", [_view(call, project) for project in found])

    @describe(Answer(200, "projects"), needs="token")
    async def of_user(self, call: Call) -> Response:
        """List the projects that a user may work in."""
        await self._reader.user_or_admin(call, call.params["id"])
        found = await self._projects.of_user(call.params["id"])
        return forms.listing(call, "projects", [_view(call, project) for project in found])

    @describe(Answer(200, "project"), needs="token")
    async def show(self, call: Call) -> Response:
        """Show a project."""
        await self._reader.caller(call)
        return self._shown(call, await self._projects.get(call.params["id"]))

    @describe(Answer(201, "project"), body="new_project", errors=(404, 409), needs="token")
    async def create(self, call: Call) -> Response:
        """Create a project."""
        await self._reader.admin(call)
        body = await _body(call)
        enabled = forms.optional_flag(body, "enabled")
        project = await self._projects.create(
            forms.text(body, "name"),
            forms.optional_text(body, "description") or "",
            enabled=enabled is not False,
        )
        return self._shown(call, project, 201)

    @describe(Answer(200, "project"), body="project_changes", errors=(409,), needs="token")
    async def update(self, call: Call) -> Response:
        """Update a project's name or description, or enable or disable it."""
        await self._reader.admin(call)
        project = await self._projects.get(call.params["id"])
        body = await _body(call)
        changes: dict[str, Any] = {}
        if "name" in body:
            changes["name"] = forms.text(body, "name")
        if "description" in body:
            changes["description"] = forms.optional_text(body, "description") or ""
        if (enabled := forms.optional_flag(body, "enabled")) is not None:
            changes["enabled"] = enabled
        return self._shown(call, await self._projects.update(project.id, **changes))

    @describe(Answer(204), errors=(409,), needs="token")
    async def delete(self, call: Call) -> Response:
        """Delete a project; its images stay, and only an admin can reach them."""
        await self._reader.admin(call)
        await self._projects.delete((await self._projects.get(call.params["id"])).id)
        return wire.no_content()

    @staticmethod
    def _shown(call: Call, project: Project, status: int = 200) -> Response:
        return wire.json_response({"project": _view(call, project)}, status)


async def _body(call: Call) -> dict[str, Any]:
    """Return the project of a request; raises Invalid for unsupported fields."""
    body = await forms.read_object(call, "project")
    forms.refuse_others(body, "project", _FIELDS)
    forms.check_domain(body)
    if forms.optional_text(body, "parent_id") not in {None, "", forms.DOMAIN["id"]} or forms.optional_flag(
        body, "is_domain"
    ):
        raise Invalid("Projects cannot have parents, and the only domain is Default.")
    return body


def _view(call: Call, project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "domain_id": "default",
        "parent_id": "default",
        "enabled": project.enabled,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": forms.self_link(call, f"projects/{project.id}"),
    }
