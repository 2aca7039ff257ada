"""Copies in stores over HTTP."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from tintype.api import wire
from tintype.services.stores import Stores

if TYPE_CHECKING:
    from tintype.api.app import Call


class StoresApi:
    """Handlers of `/v2/stores`."""

    def __init__(self, stores: Stores, deleted: Callable[[], None]) -> None:
        """Make them; `deleted` is told of each copy that is gone: there are bytes to delete now."""
        self._stores = stores
        self._deleted = deleted

    async def delete_copy(self, call: "Call") -> Response:
        """Take an image's copy out of a store."""
        await self._stores.delete_copy(call.caller, call.params["store"], call.params["id"])
        self._deleted()
        return wire.no_content()
