"""Discovery over HTTP: versions, schemas, import methods, stores, usage."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from tintype.api import schemas, wire
from tintype.api.call import Call
from tintype.api.metadef_schemas import every_metadef_schema
from tintype.api.operation import Answer, describe
from tintype.domain.images import Limits
from tintype.errors import NotFound
from tintype.services.info import Info

_WITH_CACHE: Final = frozenset({18, 16, 14})
"""Minor versions of the API for the cache: served if the node has one."""


def minor_versions(*, cache: bool) -> list[int]:
    """Return the served minor versions, newest first."""
    return [minor for minor in range(18, -1, -1) if cache or minor not in _WITH_CACHE]


class InfoApi:
    """Handlers of discovery."""

    def __init__(self, info: Info, limits: Limits, *, methods: Sequence[str], cache: bool) -> None:
        """Create the handlers; `methods` are the available import methods."""
        self._info = info
        self._methods = list(methods)
        self._minor_versions = minor_versions(cache=cache)
        metadefs = {f"metadefs/{name}": schema for name, schema in every_metadef_schema().items()}
        self._schemas = schemas.every_schema(limits) | metadefs

    @describe(Answer(300, "versions"), Answer(303, headers=("Location", "Vary")))
    async def choices(self, call: Call) -> Response:
        """List the versions with status 300, as Glance does."""
        return self._versions(call, 300)

    @describe(Answer(200, "versions"))
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

    @describe(Answer(200, "json_schema"))
    async def schema(self, call: Call) -> Response:
        """Show a JSON schema."""
        name = call.route_path.removeprefix("/v2/schemas/").replace("{name}", call.params["name"])
        if name not in self._schemas:
            raise NotFound(f"There is no schema '{name}'.")
        return wire.json_response(self._schemas[name])

    @describe(Answer(200, "import_methods"))
    async def import_methods(self, _call: Call) -> Response:
        """List the available import methods."""
        methods = {"description": "Import methods available.", "type": "array", "value": self._methods}
        return wire.json_response({"import-methods": methods})

    @describe(Answer(200, "stores"))
    async def stores(self, _call: Call) -> Response:
        """List the stores."""
        return wire.json_response({"stores": self._info.stores()})

    @describe(Answer(200, "stores_detail"))
    async def stores_detail(self, call: Call) -> Response:
        """List the stores with details, for operators and services."""
        return wire.json_response({"stores": await self._info.stores_detail(call.caller)})

    @describe(Answer(200, "usage"))
    async def usage(self, call: Call) -> Response:
        """Show the usage and the limits of the caller's project."""
        return wire.json_response({"usage": await self._info.usage(call.caller)})
