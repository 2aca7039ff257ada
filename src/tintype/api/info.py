"""Discovery over HTTP: versions, schemas, import methods, stores, usage."""

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from tintype.api import schemas, wire
from tintype.api.metadef_schemas import every_metadef_schema
from tintype.domain.images import Limits
from tintype.errors import NotFound
from tintype.services.info import Info

if TYPE_CHECKING:
    from tintype.api.app import Call

MINOR_VERSIONS: Final = (15, 13, 12, 7, 5, 4, 3, 2, 1, 0)
"""What is served, newest first. 2.6 (import), 2.8 to 2.11 (several stores) and 2.14 (cache) are not yet."""


class InfoApi:
    """Handlers of what a client asks before anything else."""

    def __init__(self, info: Info, limits: Limits) -> None:
        self._info = info
        metadefs = {f"metadefs/{name}": schema for name, schema in every_metadef_schema().items()}
        self._schemas = schemas.every_schema(limits) | metadefs

    async def choices(self, call: "Call") -> Response:
        """Offer the versions: 300, as Glance."""
        return self._versions(call, 300)

    async def versions(self, call: "Call") -> Response:
        """List the versions."""
        return self._versions(call, 200)

    def _versions(self, call: "Call", status: int) -> Response:
        links = [{"rel": "self", "href": f"{call.base_url_text}/v2/"}]
        versions: list[dict[str, Any]] = [
            {"id": f"v2.{minor}", "status": "SUPPORTED", "links": links} for minor in MINOR_VERSIONS
        ]
        versions[0]["status"] = "CURRENT"
        return wire.json_response({"versions": versions}, status)

    async def schema(self, call: "Call") -> Response:
        """Show a JSON schema."""
        name = call.route_path.removeprefix("/v2/schemas/").replace("{name}", call.params["name"])
        if name not in self._schemas:
            raise NotFound(f"There is no schema '{name}'.")
        return wire.json_response(self._schemas[name])

    async def import_methods(self, _call: "Call") -> Response:
        """Name the import methods that work here."""
        return wire.json_response(
            {"import-methods": {"description": "Import methods available.", "type": "array", "value": []}}
        )

    async def stores(self, _call: "Call") -> Response:
        """Name the stores."""
        return wire.json_response({"stores": self._info.stores()})

    async def stores_detail(self, call: "Call") -> Response:
        """Describe the stores to operators and services."""
        return wire.json_response({"stores": self._info.stores_detail(call.caller)})

    async def usage(self, call: "Call") -> Response:
        """Tell what the caller's project uses."""
        return wire.json_response({"usage": await self._info.usage(call.caller)})
