"""Images over HTTP."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from tintype.api import wire
from tintype.domain import patch, query
from tintype.domain.images import Limits
from tintype.errors import Invalid
from tintype.services.images import Images
from tintype.services.info import Info
from tintype.services.metadefs import PropertyCheck

if TYPE_CHECKING:
    from tintype.api.app import Call

_WARNING_BYTES: Final = 4096


class ImagesApi:
    """Handlers of `/v2/images`."""

    def __init__(
        self,
        images: Images,
        info: Info,
        limits: Limits,
        *,
        page_size: int,
        max_page_size: int,
        deleted: Callable[[], None],
        check: PropertyCheck | None,
    ) -> None:
        """Make the handlers; `deleted` is told of each deletion: there may be bytes to delete now."""
        self._images = images
        self._limits = limits
        self._page_size = page_size
        self._max_page_size = max_page_size
        self._deleted = deleted
        self._check = check
        self._create_headers = {"OpenStack-image-store-ids": ",".join(store["id"] for store in info.stores())}

    async def create(self, call: "Call") -> Response:
        """Make an image record."""
        attributes = wire.parse_json(await call.bounded_body())
        if not isinstance(attributes, dict):
            raise Invalid("The request body must be a JSON object of image attributes.")
        warnings = {} if self._check is None else _warnings(await self._check.of_new(attributes))
        image = await self._images.create(call.caller, attributes)
        location = f"{call.base_url_text}/v2/images/{image.id}"
        headers = {"Location": location, **self._create_headers, **warnings}
        return wire.json_response(wire.image_view(image), 201, headers)

    async def index(self, call: "Call") -> Response:
        """List a page of images, with the address of the next one."""
        pairs = wire.query_pairs(call.scope["query_string"])
        wanted = query.parse(pairs, default_limit=self._page_size, max_limit=self._max_page_size)
        images = await self._images.list(call.caller, wanted)
        body: dict[str, Any] = {
            "images": [wire.image_view(image) for image in images],
            "first": _page_path([pair for pair in pairs if pair[0] != "marker"]),
            "schema": "/v2/schemas/images",
        }
        if images and len(images) == wanted.limit:
            rest = [pair for pair in pairs if pair[0] != "marker"]
            body["next"] = _page_path([*rest, ("marker", images[-1].id)])
        return wire.json_response(body)

    async def show(self, call: "Call") -> Response:
        """Show one image."""
        return wire.json_response(wire.image_view(await self._images.show(call.caller, call.params["id"])))

    async def update(self, call: "Call") -> Response:
        """Patch an image, in either dialect."""
        media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in patch.MEDIA_TYPES:
            patch.parse(media_type, None, self._limits)  # refuses before the body is read
        changes = patch.parse(media_type, wire.parse_json(await call.bounded_body()), self._limits)
        warnings = {}
        if self._check is not None:
            said = {each.name: each.value for each in changes if each.op != "remove"}
            warnings = _warnings(await self._check.of_changed(call.caller, call.params["id"], said))
        image = await self._images.update(call.caller, call.params["id"], changes)
        return wire.json_response(wire.image_view(image), headers=warnings)

    async def delete(self, call: "Call") -> Response:
        """Delete an image."""
        await self._images.delete(call.caller, call.params["id"])
        self._deleted()
        return wire.no_content()

    async def deactivate(self, call: "Call") -> Response:
        """Close access to the data."""
        await self._images.deactivate(call.caller, call.params["id"])
        return wire.no_content()

    async def reactivate(self, call: "Call") -> Response:
        """Open access to the data."""
        await self._images.reactivate(call.caller, call.params["id"])
        return wire.no_content()

    async def tasks(self, call: "Call") -> Response:
        """List the tasks of an image: none, as long as nothing here makes tasks."""
        await self._images.show(call.caller, call.params["id"])
        return wire.json_response({"tasks": []})


def _warnings(found: Sequence[str]) -> dict[str, str]:
    """Give a header that says which properties the catalogue does not accept."""
    plain = "; ".join(found).encode("unicode_escape").decode()[:_WARNING_BYTES]
    return {"OpenStack-image-property-warnings": plain} if plain else {}


def _page_path(pairs: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"
