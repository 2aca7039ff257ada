"""Images over HTTP."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.operation import Answer, Body, describe
from tintype.domain import patch, query
from tintype.domain.images import Limits
from tintype.domain.locations import parse as parse_location
from tintype.domain.patch import LocationChange
from tintype.errors import Invalid
from tintype.services.images import Images, ShownImage
from tintype.services.info import Info
from tintype.services.locations import Locations


class ImageOptions(msgspec.Struct, frozen=True):
    """The operator's settings for image responses."""

    page_size: int
    max_page_size: int
    shows_locations: bool
    shows_direct_url: bool
    methods: Sequence[str]
    """The import methods."""


_WARNINGS: Final = "OpenStack-image-property-warnings"
_PATCH: Final = Body(dict(zip(patch.MEDIA_TYPES, ("patch_draft4", "patch"), strict=True)))


class ImagesApi:
    """Handlers of `/v2/images`."""

    def __init__(
        self, images: Images, locations: Locations, info: Info, limits: Limits, options: ImageOptions
    ) -> None:
        self._images = images
        self._locations = locations
        self._limits = limits
        self._options = options
        writable = [store["id"] for store in info.stores() if "read-only" not in store]
        self._create_headers = {"OpenStack-image-store-ids": ",".join(writable)}
        if options.methods:
            self._create_headers["OpenStack-image-import-methods"] = ",".join(options.methods)

    @describe(
        Answer(
            201,
            "image",
            ("Location", "OpenStack-image-store-ids", "OpenStack-image-import-methods", _WARNINGS),
        ),
        body="new_image",
        errors=(409,),
    )
    async def create(self, call: Call) -> Response:
        """Create an image record."""
        attributes = wire.parse_json(await call.bounded_body())
        if not isinstance(attributes, dict):
            raise Invalid("The request body must be a JSON object of image attributes.")
        shown = await self._images.create(call.caller, attributes)
        location = f"{call.base_url_text}/v2/images/{shown.image.id}"
        headers = {"Location": location, **self._create_headers, **wire.property_warnings(shown.warnings)}
        return wire.json_response(self.view(shown), 201, headers)

    @describe(Answer(200, "images"), takes=parameters.IMAGE_LIST)
    async def index(self, call: Call) -> Response:
        """List a page of images, with a link to the next one."""
        pairs = wire.query_pairs(call.scope["query_string"])
        wanted = query.parse(
            pairs, default_limit=self._options.page_size, max_limit=self._options.max_page_size
        )
        page = await self._images.list(call.caller, wanted)
        rest = [pair for pair in pairs if pair[0] != "marker"]
        body: dict[str, Any] = {
            "images": [self.view(shown) for shown in page.items],
            "first": _page_path(rest),
            "schema": "/v2/schemas/images",
        }
        if page.last is not None:
            body["next"] = _page_path([*rest, ("marker", page.last.image.id)])
        return wire.json_response(body)

    @describe(Answer(200, "image"))
    async def show(self, call: Call) -> Response:
        """Show one image."""
        return wire.json_response(self.view(await self._images.show(call.caller, call.params["id"])))

    @describe(Answer(200, "image", (_WARNINGS,)), body=_PATCH, errors=(409, 415))
    async def update(self, call: Call) -> Response:
        """Patch an image, in either JSON patch dialect."""
        media_type = call.media_type
        if media_type not in patch.MEDIA_TYPES:
            patch.parse(media_type, None, self._limits)  # refuses before the body is read
        body = wire.parse_json(await call.bounded_body())
        if self._options.shows_locations and (change := patch.parse_locations(media_type, body)):
            return await self._update_locations(call, change)
        changes = patch.parse(media_type, body, self._limits)
        shown = await self._images.update(call.caller, call.params["id"], changes)
        return wire.json_response(self.view(shown), headers=wire.property_warnings(shown.warnings))

    @describe(Answer(204), errors=(409,))
    async def delete(self, call: Call) -> Response:
        """Delete an image."""
        await self._images.delete(call.caller, call.params["id"])
        return wire.no_content()

    @describe(Answer(204), errors=(409,))
    async def deactivate(self, call: Call) -> Response:
        """Deactivate an image: its data cannot be downloaded."""
        await self._images.deactivate(call.caller, call.params["id"])
        return wire.no_content()

    @describe(Answer(204), errors=(409,))
    async def reactivate(self, call: Call) -> Response:
        """Reactivate an image: its data can be downloaded again."""
        await self._images.reactivate(call.caller, call.params["id"])
        return wire.no_content()

    async def _update_locations(self, call: Call, change: LocationChange) -> Response:
        """Change the locations of the data: the API before 2.17, if the operator enables it."""
        image_id = call.params["id"]
        if change.op == "remove":
            image = await self._locations.remove(call.caller, image_id, change.position or 0)
        elif change.op == "add":
            image = await self._locations.add(call.caller, image_id, parse_location(change.value))
        elif isinstance(change.value, list):
            wanted = [parse_location(value) for value in change.value]
            image = await self._locations.replace(call.caller, image_id, wanted)
        else:
            raise Invalid("'locations' must be an array.")
        (shown,) = await self._images.present(call.caller, [image])
        return wire.json_response(self.view(shown))

    def view(self, shown: ShownImage) -> dict[str, Any]:
        """Return the API's view of an image, with its locations if these are shown here."""
        view = wire.image_view(shown.image)
        if self._options.shows_locations:
            view["locations"] = shown.locations
        if self._options.shows_direct_url and shown.locations:
            view["direct_url"] = shown.locations[0]["url"]
        return view


def _page_path(pairs: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"
