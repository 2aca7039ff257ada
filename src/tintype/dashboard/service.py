"""Stores and usage for the page."""

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.dashboard.guard import items
from tintype.services.info import Info


class DashboardService:
    """Handlers of `/api/glance/stores/` and `/api/glance/usage/`."""

    def __init__(self, info: Info) -> None:
        self._info = info

    async def stores(self, _call: Call) -> Response:
        """List the stores, the default one first."""
        return items(self._info.stores())

    async def usage(self, call: Call) -> Response:
        """Show the project's usage and limits: counts, and sizes in MiB; -1 means no limit."""
        return wire.json_response(await self._info.usage(call.caller))
