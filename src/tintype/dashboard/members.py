"""Sharing for the page: an image's members, and the images that others share with the caller's project."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.images import ImagesApi
from tintype.auth.base import Logins
from tintype.dashboard import shapes
from tintype.dashboard.guard import SESSION, document, items
from tintype.domain import members as rules
from tintype.domain.members import Member
from tintype.errors import Invalid, NotFound
from tintype.services.images import Images
from tintype.services.members import Members

_OFFERS: Final = 200


class DashboardMembers:
    """Handlers of `/api/glance/images/{id}/members/` and `/api/glance/offers/`."""

    def __init__(self, images: Images, members: Members, api: ImagesApi, logins: Logins) -> None:
        self._images = images
        self._members = members
        self._api = api
        self._logins = logins

    async def index(self, call: Call) -> Response:
        """List the members that the caller may see, with the names of projects that can be looked up."""
        found = await self._members.list(call.caller, call.params["id"])
        names = await self._names(call, {member.member_id for member in found})
        return items([_view(member, names.get(member.member_id)) for member in found])

    async def offers(self, call: Call) -> Response:
        """List the images that others share with the caller's project, with owners and member status."""
        offered = await self._members.of_project(call.caller, _OFFERS)
        answers = {member.image_id: member.status for member in offered}
        images = [
            shown
            for shown in await self._images.show_visible(call.caller, list(answers))
            if shown.image.visibility == "shared" and shown.image.owner != call.caller.project_id
        ]
        names = await self._names(call, {shown.image.owner or "" for shown in images})
        views = [shapes.image_view(self._api.view(shown)) for shown in images]
        for view in views:
            view |= {"owner_name": names.get(view["owner"]), "member_status": answers[view["id"]]}
        return items(views)

    async def create(self, call: Call) -> Response:
        """Share an image with a project, given by id, or by name if that can be looked up.

        The response has no name if only the form of the id could be checked.
        """
        wanted = rules.checked_member_id(await document(call)).strip()
        shown = await self._images.show(call.caller, call.params["id"])  # before the look-up
        try:
            project = await self._logins.project(call.cookies[SESSION], wanted)
        except NotFound as error:
            raise Invalid(error.message) from None
        if project.id == shown.image.owner:
            raise Invalid(f"The image belongs to the project '{wanted}': share it with another one.")
        member = await self._members.add(call.caller, shown.image.id, project.id)
        location = f"/api/glance/images/{member.image_id}/members/{member.member_id}/"
        return wire.json_response(_view(member, project.name or None), 201, {"Location": location})

    async def update(self, call: Call) -> Response:
        """Accept or reject a shared image."""
        status = rules.checked_status(await document(call))
        await self._members.update(call.caller, call.params["id"], call.params["member"], status)
        return wire.no_content()

    async def _names(self, call: Call, ids: AbstractSet[str]) -> Mapping[str, str]:
        """Look up the names of projects other than the caller's own, which the page knows."""
        others = ids - {call.caller.project_id}
        return await self._logins.project_names(call.cookies[SESSION], others) if others else {}


def _view(member: Member, name: str | None) -> dict[str, Any]:
    return wire.member_view(member) | {"project_name": name}
