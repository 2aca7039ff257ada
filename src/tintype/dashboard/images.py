"""Images for pages: the endpoints of Horizon (`openstack_dashboard.api.rest.glance`), on our own services."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.data import DataApi
from tintype.api.images import ImagesApi
from tintype.auth.base import Logins
from tintype.blobs.cancellation import shielded
from tintype.blobs.stream import Chunks
from tintype.dashboard import filenames, shapes
from tintype.dashboard.forms import Form, check_nothing_behind
from tintype.dashboard.guard import SESSION, document, items
from tintype.dashboard.spool import Spool
from tintype.domain import imports as import_rules
from tintype.domain import query
from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.domain.locations import parse as parse_location
from tintype.domain.patch import Change, check_count
from tintype.errors import Invalid, OverLimit, TintypeError
from tintype.services.data import ImageData
from tintype.services.images import Images, ShownImage
from tintype.services.imports import Imports
from tintype.services.locations import Locations
from tintype.services.rights import Rights

PATH: Final = "/api/glance/images"
PAGE_COOKIE: Final = "API_RESULT_PAGE_SIZE"
_TYPED: Final = "$$originalJSON"
"""A field that says once more what the others say, with numbers as numbers."""
_TELLING: Final = frozenset({_TYPED, "disk_format"})
"""Fields of a form without which its file cannot be taken: they say what it is."""
_DIGITS: Final = 19


class Ways(msgspec.Struct, frozen=True):
    """How images are made, and come by their bytes."""

    images: Images
    data: ImageData
    imports: Imports
    locations: Locations
    rights: Rights
    logins: Logins
    limits: Limits


class DashboardImages:
    """Handlers of `/api/glance/images/`."""

    def __init__(self, ways: Ways, api: ImagesApi, files: DataApi, spool: Spool) -> None:
        self._ways = ways
        self._images = ways.images
        self._api = api
        self._files = files
        self._spool = spool

    async def version(self, _call: Call) -> Response:
        """Tell the version of the image API, as Horizon does."""
        return wire.json_response({"version": "2"})

    async def index(self, call: Call) -> Response:
        """List images, a page of them or up to a thousand."""
        asked = shapes.asked(wire.query_pairs(call.scope["query_string"]))
        size = shapes.page_size(call.cookies.get(PAGE_COOKIE)) if asked.paginate else shapes.LIMIT
        found = list((await self._images.list(call.caller, _query(asked, size))).items)
        more = shapes.more(len(found), size, asked)
        page = found[:size]
        if asked.backward:
            page.reverse()
        views = [shapes.image(self._api.view(shown)) for shown in page]
        if asked.rights:
            for view, shown in zip(views, page, strict=True):
                view["rights"] = self._ways.rights.on_image(call.caller, shown.image)
        return items(views, **more)

    async def create(self, call: Call) -> Response:
        """Make an image: without bytes, from a URL, or to be filled at the address in the answer."""
        data = await document(call)
        address, file = data.get("image_url"), data.get("data")
        fetch = self._fetching(call, address, copied=bool(data.get("import_data"))) if address else None
        shown = await self._images.create(call.caller, shapes.metadata(data))
        if fetch is not None:
            async with self._or_nothing(call.caller, shown.image):
                await fetch(shown.image)
            shown = await self._images.show(call.caller, shown.image.id)
        view = shapes.image(self._api.view(shown))
        if not address and isinstance(file, str) and file:
            view["upload_url"] = f"{call.base_url_text}/v2/images/{shown.image.id}/file"
            view["token_id"] = call.cookies[SESSION]
        return _created(view)

    async def create_with_file(self, call: Call) -> Response:
        """Make an image of a form with a file in it; it is active, or nothing was made.

        Where the fields stand before the file, it is the image's bytes as it comes. Otherwise (Horizon's
        own page sends it so) it waits in the scratch folder for them.
        """
        self._images.check_may_create(call.caller)  # before anything is read
        self._check_length(call)
        form = Form(call.headers.get("content-type"), call.stream(), "data")
        if not await form.has_file():
            if form.fields.get("data"):
                raise Invalid("'data' is a file.")
            shown = await self._images.create(call.caller, shapes.metadata(_attributes(form.fields)))
        elif form.fields.keys() & _TELLING:
            shown = await self._fill(call.caller, form.fields, _to_the_end(form), None)
        else:
            owner, room = call.caller.project_id or "", await self._ways.data.room(call.caller)
            async with self._spool.keep(form.file(), owner, room) as (pieces, size):
                shown = await self._fill(call.caller, form.fields, pieces, size)
        return _created(shapes.image(self._api.view(shown)))

    async def _fill(
        self, caller: Caller, fields: Mapping[str, str], pieces: AsyncIterator[bytes], size: int | None
    ) -> ShownImage:
        """Create an image of a form's fields and its file."""
        image = (await self._images.create(caller, shapes.metadata(_attributes(fields)))).image
        async with self._or_nothing(caller, image):
            source = Chunks(pieces)
            await self._ways.data.upload(caller, image.id, source, size=size, store_id=None, expected={})
        return await self._images.show(caller, image.id)

    async def show(self, call: Call) -> Response:
        """Show an image with all its attributes; on request with the caller's rights and the owner's name."""
        asked = shapes.asked(wire.query_pairs(call.scope["query_string"]))
        shown = await self._images.show(call.caller, call.params["id"])
        view = shapes.image(self._api.view(shown), alone=True)
        if asked.rights:
            view["rights"] = self._ways.rights.on_image(call.caller, shown.image)
            view["owner_name"] = await self._owner_name(call, shown.image)
        return wire.json_response(view)

    async def update(self, call: Call) -> Response:
        """Say anew what an image is; what is not said has its default, as in Horizon."""
        await self._change(call, shapes.metadata(await document(call)))
        return wire.no_content()

    async def show_properties(self, call: Call) -> Response:
        """Show the custom properties alone."""
        shown = await self._images.show(call.caller, call.params["id"])
        return wire.json_response(shapes.properties(self._api.view(shown)))

    async def update_properties(self, call: Call) -> Response:
        """Set some properties, and remove others; what is not there need not be removed."""
        data = await document(call)
        updated, removed = data.get("updated"), data.get("removed") or []
        if not isinstance(updated, dict) or not isinstance(removed, list):
            raise Invalid("'updated' is an object and 'removed' a list of names.")
        if "os_hidden" in updated:
            updated = {**updated, "os_hidden": updated["os_hidden"] in ("true", True)}
        await self._change(call, updated, removed)
        return wire.no_content()

    async def download(self, call: Call) -> Response:
        """Send an image's bytes as a file named after the image, which no browser shows as a page."""
        disposition = filenames.attachment((await self._images.show(call.caller, call.params["id"])).image)
        answer = await self._files.download(call)  # holds a place: nothing may fail before it is sent
        answer.headers["Content-Disposition"] = disposition
        return answer

    def _fetching(self, call: Call, address: Any, *, copied: bool) -> Callable[[Image], Awaitable[None]]:
        """Give what has bytes copied from an address, or left there; raises Invalid for what is none."""
        ways, request_id = self._ways, call.request_id

        async def copy(image: Image) -> None:
            token = call.cookies[SESSION]
            await ways.imports.begin(call.caller, image.id, wanted, body, request_id=request_id, token=token)

        async def leave(image: Image) -> None:
            await ways.locations.begin(call.caller, image.id, location, place, request_id)

        if copied:
            body = {"method": {"name": import_rules.WEB, "uri": address}}
            wanted = import_rules.parse(body, None, ways.imports.methods)
            return copy
        place = {"url": address}
        location = parse_location(place)
        return leave

    async def _change(self, call: Call, wanted: Mapping[str, Any], removed: Sequence[Any] = ()) -> None:
        check_count(len(wanted) + len(removed))

        def compare(image: Image) -> Sequence[Change]:
            return shapes.changes(wire.image_view(image), wanted, removed, self._ways.limits)

        await self._images.update_shown(call.caller, call.params["id"], compare)

    async def _owner_name(self, call: Call, image: Image) -> str | None:
        """Look up the project of an image, unless it is the caller's own, which pages know."""
        if image.owner is None or image.owner == call.caller.project_id:
            return None
        names = await self._ways.logins.project_names(call.cookies[SESSION], {image.owner})
        return names.get(image.owner)

    @contextlib.asynccontextmanager
    async def _or_nothing(self, caller: Caller, image: Image) -> AsyncIterator[None]:
        """Take a new image back where its bytes are refused, or whoever sent them has gone."""
        try:
            yield
        except BaseException:
            await shielded(self._take_back(caller, image))
            raise

    async def _take_back(self, caller: Caller, image: Image) -> None:
        with contextlib.suppress(TintypeError):
            if image.protected:
                lifted = [Change("replace", "protected", value=False)]
                await self._images.update(caller, image.id, lifted)
            await self._images.delete(caller, image.id)

    def _check_length(self, call: Call) -> None:
        """Refuse a form that is too large for an image."""
        length = call.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or len(length) > _DIGITS:
            raise Invalid("A form with a file says its length (Content-Length).")
        if int(length) > self._ways.limits.size + call.body_limit:
            raise OverLimit(f"The image is too large: at most {self._ways.limits.size} bytes are allowed.")


def _query(asked: shapes.Asked, size: int) -> query.Query:
    descending = asked.descending is not False  # newest first where nothing is said
    pairs = [
        *asked.filters.items(),
        ("sort_key", "created_at" if asked.sort_key is None else asked.sort_key),
        ("sort_dir", "desc" if descending != asked.backward else "asc"),
        ("limit", str(size + 1 if asked.paginate else size)),
    ]
    if asked.marker is not None:
        pairs.append(("marker", asked.marker))
    wanted = query.parse(pairs, default_limit=size, max_limit=shapes.LIMIT + 1)
    if not asked.search:
        return wanted
    return msgspec.structs.replace(wanted, conditions=(*wanted.conditions, shapes.search(asked.search)))


async def _to_the_end(form: Form) -> AsyncIterator[bytes]:
    """Return a form's file; raises Invalid where fields stand behind it."""
    before = dict(form.fields)
    async for piece in form.file():
        yield piece
    check_nothing_behind(form.fields, before)


def _attributes(fields: Mapping[str, str]) -> dict[str, Any]:
    """Read what a form says of the image."""
    if _TYPED in fields:
        data = wire.parse_json(fields[_TYPED].encode())
        if not isinstance(data, dict):
            raise Invalid(f"{_TYPED} must be a JSON object.")
        return data
    typed_fields: dict[str, Any] = dict(fields)
    for name in ("min_disk", "min_ram"):
        if fields.get(name, "").isdecimal() and len(fields[name]) < _DIGITS:
            typed_fields[name] = int(fields[name])
    if fields.get("protected", "").lower() in {"true", "false"}:
        typed_fields["protected"] = fields["protected"].lower() == "true"
    return typed_fields


def _created(view: Mapping[str, Any]) -> Response:
    """Answer as Horizon does: with the name, not the id, in the address."""
    return wire.json_response(view, 201, {"Location": f"{PATH}/{quote(view['name'] or '')}"})
