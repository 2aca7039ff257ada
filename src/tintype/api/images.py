"""Images over HTTP."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.domain import patch, query
from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.domain.locations import parse as parse_location
from tintype.domain.patch import LocationChange
from tintype.errors import Invalid
from tintype.services.images import Images
from tintype.services.info import Info
from tintype.services.locations import Locations
from tintype.services.metadefs import PropertyCheck

_WARNING_BYTES: Final = 4096


class ImageOptions(msgspec.Struct, frozen=True):
    """What an operator chose of how images are shown."""

    page_size: int
    max_page_size: int
    shows_locations: bool
    shows_direct_url: bool
    methods: Sequence[str]
    """Of imports."""


class ImagesApi:
    """Handlers of `/v2/images`."""

    def __init__(
        self,
        images: Images,
        locations: Locations,
        info: Info,
        limits: Limits,
        options: ImageOptions,
        *,
        deleted: Callable[[], None],
        check: PropertyCheck | None,
    ) -> None:
        """Make the handlers; `deleted` is told of each deletion: there may be bytes to delete now."""
        self._images = images
        self._locations = locations
        self._limits = limits
        self._options = options
        self._deleted = deleted
        self._check = check
        writable = [store["id"] for store in info.stores() if "read-only" not in store]
        self._create_headers = {"OpenStack-image-store-ids": ",".join(writable)}
        if options.methods:
            self._create_headers["OpenStack-image-import-methods"] = ",".join(options.methods)

    async def create(self, call: Call) -> Response:
        """Make an image record."""
        attributes = wire.parse_json(await call.bounded_body())
        if not isinstance(attributes, dict):
            raise Invalid("The request body must be a JSON object of image attributes.")
        warnings = {} if self._check is None else _warnings(await self._check.of_new(attributes))
        image = await self._images.create(call.caller, attributes)
        location = f"{call.base_url_text}/v2/images/{image.id}"
        headers = {"Location": location, **self._create_headers, **warnings}
        return wire.json_response((await self.views(call.caller, [image]))[0], 201, headers)

    async def index(self, call: Call) -> Response:
        """List a page of images, with the address of the next one."""
        pairs = wire.query_pairs(call.scope["query_string"])
        wanted = query.parse(
            pairs, default_limit=self._options.page_size, max_limit=self._options.max_page_size
        )
        page = await self._images.list(call.caller, wanted)
        body: dict[str, Any] = {
            "images": await self.views(call.caller, page.items),
            "first": _page_path([pair for pair in pairs if pair[0] != "marker"]),
            "schema": "/v2/schemas/images",
        }
        if page.last is not None:
            rest = [pair for pair in pairs if pair[0] != "marker"]
            body["next"] = _page_path([*rest, ("marker", page.last.id)])
        return wire.json_response(body)

    async def show(self, call: Call) -> Response:
        """Show one image."""
        image = await self._images.show(call.caller, call.params["id"])
        return wire.json_response((await self.views(call.caller, [image]))[0])

    async def update(self, call: Call) -> Response:
        """Patch an image, in either dialect."""
        media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in patch.MEDIA_TYPES:
            patch.parse(media_type, None, self._limits)  # refuses before the body is read
        body = wire.parse_json(await call.bounded_body())
        if self._options.shows_locations and (change := patch.parse_locations(media_type, body)):
            return await self._update_locations(call, change)
        changes = patch.parse(media_type, body, self._limits)
        warnings = {}
        if self._check is not None:
            said = {each.name: each.value for each in changes if each.op != "remove"}
            warnings = _warnings(await self._check.of_changed(call.caller, call.params["id"], said))
        image = await self._images.update(call.caller, call.params["id"], changes)
        return wire.json_response((await self.views(call.caller, [image]))[0], headers=warnings)

    async def delete(self, call: Call) -> Response:
        """Delete an image."""
        await self._images.delete(call.caller, call.params["id"])
        self._deleted()
        return wire.no_content()

    async def deactivate(self, call: Call) -> Response:
        """Close access to the data."""
        await self._images.deactivate(call.caller, call.params["id"])
        return wire.no_content()

    async def reactivate(self, call: Call) -> Response:
        """Open access to the data."""
        await self._images.reactivate(call.caller, call.params["id"])
        return wire.no_content()

    async def _update_locations(self, call: Call, change: LocationChange) -> Response:
        """Change where the data is: the API before 2.17, switched on by the operator."""
        image_id = call.params["id"]
        if change.op == "remove":
            image = await self._locations.remove(call.caller, image_id, change.position or 0)
            self._deleted()
        elif change.op == "add":
            image = await self._locations.add(call.caller, image_id, parse_location(change.value))
        elif isinstance(change.value, list):
            wanted = [parse_location(value) for value in change.value]
            image = await self._locations.replace(call.caller, image_id, wanted)
        else:
            raise Invalid("'locations' must be an array.")
        shown = self._images.shown(call.caller, image)
        return wire.json_response((await self.views(call.caller, [shown]))[0])

    async def views(self, caller: Caller, images: Sequence[Image]) -> list[dict[str, Any]]:
        """Give images as the API shows them, with where their data is if that is told here."""
        views = [wire.image_view(image) for image in images]
        if self._options.shows_locations or self._options.shows_direct_url:
            found = await self._locations.shown(caller, images)
            for view in views:
                places = found.get(view["id"], [])
                if self._options.shows_locations:
                    view["locations"] = places
                if self._options.shows_direct_url and places:
                    view["direct_url"] = places[0]["url"]
        return views


def _warnings(found: Sequence[str]) -> dict[str, str]:
    """Give a header that says which properties the catalogue does not accept."""
    plain = "; ".join(found).encode("unicode_escape").decode()[:_WARNING_BYTES]
    return {"OpenStack-image-property-warnings": plain} if plain else {}


def _page_path(pairs: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"
