"""Copies in stores over HTTP."""

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.services.stores import Stores


class StoresApi:
    """Handlers of `/v2/stores`."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @describe(Answer(204), errors=(409,))
    async def delete_copy(self, call: Call) -> Response:
        """Delete an image's copy from a store."""
        await self._stores.delete_copy(call.caller, call.params["store"], call.params["id"])
        return wire.no_content()
