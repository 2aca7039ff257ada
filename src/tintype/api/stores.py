"""Copies in stores over HTTP."""

from collections.abc import Callable

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.services.stores import Stores


class StoresApi:
    """Handlers of `/v2/stores`."""

    def __init__(self, stores: Stores, deleted: Callable[[], None]) -> None:
        """Make them; `deleted` is told of each copy that is gone: there are bytes to delete now."""
        self._stores = stores
        self._deleted = deleted

    async def delete_copy(self, call: Call) -> Response:
        """Take an image's copy out of a store."""
        await self._stores.delete_copy(call.caller, call.params["store"], call.params["id"])
        self._deleted()
        return wire.no_content()
