"""Imports over HTTP."""

from typing import Any

from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.domain import imports
from tintype.services.imports import Imports


class ImportsApi:
    """Handlers of `/v2/images/{id}/import`."""

    def __init__(self, service: Imports) -> None:
        self._imports = service

    @describe(Answer(202), body="import", takes=(parameters.STORE,), errors=(409, 413))
    async def create(self, call: Call) -> Response:
        """Begin an import."""
        body = wire.parse_json(await call.bounded_body())
        await self.begin(call, body, call.token("X-Auth-Token") or "")
        return Response(status_code=202)

    async def begin(self, call: Call, body: Any, token: str) -> None:
        """Begin the import that a body describes; `token` is the caller's."""
        wanted = imports.parse(body, call.headers.get("x-image-meta-store"), self._imports.methods)
        image_id, request_id = call.params["id"], call.request_id
        await self._imports.begin(call.caller, image_id, wanted, body, request_id=request_id, token=token)
