"""Locations over HTTP."""

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.domain import locations as rules
from tintype.services.locations import Locations


class LocationsApi:
    """Handlers of `/v2/images/{id}/locations`."""

    def __init__(self, locations: Locations) -> None:
        self._locations = locations

    @describe(Answer(200, "locations"))
    async def index(self, call: Call) -> Response:
        """List the locations of an image's data, for services."""
        return wire.json_response(await self._locations.get(call.caller, call.params["id"]))

    @describe(Answer(202), body="location", errors=(409,))
    async def create(self, call: Call) -> Response:
        """Add a location: the image uses data that exists already."""
        body = wire.parse_json(await call.bounded_body())
        location = rules.parse(body)
        await self._locations.begin(call.caller, call.params["id"], location, body, call.request_id)
        return Response(status_code=202)
