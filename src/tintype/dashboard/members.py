"""Sharing for pages."""

from typing import TYPE_CHECKING

from starlette.responses import Response

from tintype.api import wire
from tintype.auth.base import Logins
from tintype.dashboard.guard import SESSION, document, items
from tintype.domain import members as rules
from tintype.errors import Invalid, NotFound
from tintype.services.members import Members

if TYPE_CHECKING:
    from tintype.api.app import Call


class DashboardMembers:
    """Handlers of `/api/glance/images/{id}/members/`."""

    def __init__(self, members: Members, logins: Logins) -> None:
        self._members = members
        self._logins = logins

    async def index(self, call: "Call") -> Response:
        """List the members that the caller may see."""
        found = await self._members.list(call.caller, call.params["id"])
        return items([wire.member_view(member) for member in found])

    async def create(self, call: "Call") -> Response:
        """Share an image with a project: its id, or its name where that can be looked up."""
        wanted = rules.checked_member_id(await document(call))
        try:
            project = await self._logins.project_id(call.cookies[SESSION], wanted)
        except NotFound:
            await self._members.list(call.caller, call.params["id"])  # an image that is not there comes first
            raise Invalid(f"There is no project '{wanted}'.") from None
        member = await self._members.add(call.caller, call.params["id"], project)
        location = f"/api/glance/images/{member.image_id}/members/{member.member_id}/"
        return wire.json_response(wire.member_view(member), 201, {"Location": location})

    async def update(self, call: "Call") -> Response:
        """Accept or reject."""
        status = rules.checked_status(await document(call))
        await self._members.answer(call.caller, call.params["id"], call.params["member"], status)
        return wire.no_content()
