"""Members over HTTP."""

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.domain import members as rules
from tintype.services.members import Members


class MembersApi:
    """Handlers of `/v2/images/{id}/members`."""

    def __init__(self, members: Members) -> None:
        self._members = members

    @describe(Answer(200, "members"))
    async def index(self, call: Call) -> Response:
        """List the members that the caller may see."""
        members = await self._members.list(call.caller, call.params["id"])
        return wire.json_response(
            {"members": [wire.member_view(member) for member in members], "schema": "/v2/schemas/members"}
        )

    @describe(Answer(200, "member"), body="new_member", errors=(409,))
    async def create(self, call: Call) -> Response:
        """Share an image."""
        member_id = rules.checked_member_id(wire.parse_json(await call.bounded_body()))
        member = await self._members.add(call.caller, call.params["id"], member_id)
        return wire.json_response(wire.member_view(member))

    @describe(Answer(200, "member"))
    async def show(self, call: Call) -> Response:
        """Show one member."""
        member = await self._members.show(call.caller, call.params["id"], call.params["member"])
        return wire.json_response(wire.member_view(member))

    @describe(Answer(200, "member"), body="member_status")
    async def update(self, call: Call) -> Response:
        """Accept or reject a shared image."""
        status = rules.checked_status(wire.parse_json(await call.bounded_body()))
        member = await self._members.update(call.caller, call.params["id"], call.params["member"], status)
        return wire.json_response(wire.member_view(member))

    @describe(Answer(204))
    async def delete(self, call: Call) -> Response:
        """Delete a member: stop sharing."""
        await self._members.remove(call.caller, call.params["id"], call.params["member"])
        return wire.no_content()
