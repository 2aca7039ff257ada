"""Discovery over HTTP: versions, schemas, import methods, stores, usage."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from tintype.api import schemas, wire
from tintype.api.call import Call
from tintype.api.metadef_schemas import every_metadef_schema
from tintype.domain.images import Limits
from tintype.errors import NotFound
from tintype.services.info import Info

_WITH_CACHE: Final = frozenset({18, 16, 14})
"""Minor versions of the API that are about the cache: served where there is one."""


def minor_versions(*, cache: bool) -> list[int]:
    """Give what is served, newest first."""
    return [minor for minor in range(18, -1, -1) if cache or minor not in _WITH_CACHE]


class InfoApi:
    """Handlers of what a client asks before anything else."""

    def __init__(self, info: Info, limits: Limits, *, methods: Sequence[str], cache: bool) -> None:
        """Make the handlers; `methods` of imports are served, and perhaps a cache."""
        self._info = info
        self._methods = list(methods)
        self._minor_versions = minor_versions(cache=cache)
        metadefs = {f"metadefs/{name}": schema for name, schema in every_metadef_schema().items()}
        self._schemas = schemas.every_schema(limits) | metadefs

    async def choices(self, call: Call) -> Response:
        """Offer the versions: 300, as Glance."""
        return self._versions(call, 300)

    async def versions(self, call: Call) -> Response:
        """List the versions."""
        return self._versions(call, 200)

    def _versions(self, call: Call, status: int) -> Response:
        links = [{"rel": "self", "href": f"{call.base_url_text}/v2/"}]
        versions: list[dict[str, Any]] = [
            {"id": f"v2.{minor}", "status": "SUPPORTED", "links": links} for minor in self._minor_versions
        ]
        versions[0]["status"] = "CURRENT"
        return wire.json_response({"versions": versions}, status)

    async def schema(self, call: Call) -> Response:
        """Show a JSON schema."""
        name = call.route_path.removeprefix("/v2/schemas/").replace("{name}", call.params["name"])
        if name not in self._schemas:
            raise NotFound(f"There is no schema '{name}'.")
        return wire.json_response(self._schemas[name])

    async def import_methods(self, _call: Call) -> Response:
        """Name the import methods that work here."""
        methods = {"description": "Import methods available.", "type": "array", "value": self._methods}
        return wire.json_response({"import-methods": methods})

    async def stores(self, _call: Call) -> Response:
        """Name the stores."""
        return wire.json_response({"stores": self._info.stores()})

    async def stores_detail(self, call: Call) -> Response:
        """Describe the stores to operators and services."""
        return wire.json_response({"stores": await self._info.stores_detail(call.caller)})

    async def usage(self, call: Call) -> Response:
        """Tell what the caller's project uses."""
        return wire.json_response({"usage": await self._info.usage(call.caller)})
