"""Imports over HTTP."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from tintype.api import wire
from tintype.domain import imports
from tintype.services.imports import Imports

if TYPE_CHECKING:
    from tintype.api.app import Call


class ImportsApi:
    """Handlers of `/v2/images/{id}/import`."""

    def __init__(self, service: Imports, begun: Callable[[], None]) -> None:
        """Make them; `begun` is told that there is work."""
        self._imports = service
        self._begun = begun

    async def create(self, call: "Call") -> Response:
        """Begin an import."""
        body = wire.parse_json(await call.bounded_body())
        wanted = imports.parse(body, call.headers.get("x-image-meta-store"), self._imports.methods)
        await self._imports.begin(
            call.caller,
            call.params["id"],
            wanted,
            body,
            request_id=call.request_id,
            token=call.headers["x-auth-token"],
        )
        self._begun()
        return Response(status_code=202)
