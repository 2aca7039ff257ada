"""Images for the page: Horizon's endpoints (`openstack_dashboard.api.rest.glance`) over our services."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
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
from tintype.dashboard.forms import Form, check_no_fields_after
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
"""A form field with all values again as JSON, so that numbers are numbers."""
_FORMAT_FIELDS: Final = frozenset({_TYPED, "disk_format"})
"""Form fields of which one must be known before the file can be stored: they have its format."""
_DIGITS: Final = 19


@dataclass
class DashboardImages:
    """Handlers of `/api/glance/images/`."""

    _images: Images
    _data: ImageData
    _imports: Imports
    _locations: Locations
    _rights: Rights
    _logins: Logins
    _limits: Limits
    _api: ImagesApi
    _files: DataApi
    _spool: Spool

    async def version(self, _call: Call) -> Response:
        """Return the version of the image API, as Horizon does."""
        return wire.json_response({"version": "2"})

    async def index(self, call: Call) -> Response:
        """List images: one page, or up to a thousand."""
        asked = shapes.parse_list_query(wire.query_pairs(call.scope["query_string"]))
        size = shapes.page_size(call.cookies.get(PAGE_COOKIE)) if asked.paginate else shapes.LIMIT
        found = list((await self._images.list(call.caller, _query(asked, size))).items)
        more = shapes.more(len(found), size, asked)
        page = found[:size]
        if asked.backward:
            page.reverse()
        views = [shapes.image_view(self._api.view(shown)) for shown in page]
        if asked.rights:
            for view, shown in zip(views, page, strict=True):
                view["rights"] = self._rights.on_image(call.caller, shown.image)
        return items(views, **more)

    async def create(self, call: Call) -> Response:
        """Create an image: without data, from a URL, or to be uploaded to the URL in the response."""
        data = await document(call)
        address, file = data.get("image_url"), data.get("data")
        fetch = self._fetcher(call, address, copied=bool(data.get("import_data"))) if address else None
        shown = await self._images.create(call.caller, shapes.metadata(data))
        if fetch is not None:
            async with self._deleted_on_failure(call.caller, shown.image):
                await fetch(shown.image)
            shown = await self._images.show(call.caller, shown.image.id)
        view = shapes.image_view(self._api.view(shown))
        if not address and isinstance(file, str) and file:
            view["upload_url"] = f"{call.base_url_text}/v2/images/{shown.image.id}/file"
            view["token_id"] = call.cookies[SESSION]
        return _created(view)

    async def create_with_file(self, call: Call) -> Response:
        """Create an active image from a form with a file; on failure, no image is left.

        If the fields come before the file, the file is stored as it arrives. Otherwise (as Horizon's
        own page sends it) the file is spooled in the scratch folder until the fields have arrived.
        """
        self._images.check_may_create(call.caller)  # before anything is read
        self._check_length(call)
        form = Form(call.headers.get("content-type"), call.stream(), "data")
        if not await form.has_file():
            if form.fields.get("data"):
                raise Invalid("'data' is a file.")
            shown = await self._images.create(call.caller, shapes.metadata(_attributes(form.fields)))
        elif form.fields.keys() & _FORMAT_FIELDS:
            shown = await self._fill(call.caller, form.fields, _last_part(form), None)
        else:
            owner, room = call.caller.project_id or "", await self._data.room(call.caller)
            self._data.check_slots(call.caller)  # before a file is received that would be refused
            async with self._spool.store(form.file(), owner, room) as (pieces, size):
                shown = await self._fill(call.caller, form.fields, pieces, size)
        return _created(shapes.image_view(self._api.view(shown)))

    async def _fill(
        self, caller: Caller, fields: Mapping[str, str], pieces: AsyncIterator[bytes], size: int | None
    ) -> ShownImage:
        """Create an image from a form's fields and its file."""
        image = (await self._images.create(caller, shapes.metadata(_attributes(fields)))).image
        async with self._deleted_on_failure(caller, image):
            source = Chunks(pieces)
            await self._data.upload(caller, image.id, source, size=size, store_id=None, expected={})
        return await self._images.show(caller, image.id)

    async def show(self, call: Call) -> Response:
        """Show an image with all its attributes; on request, with the caller's rights and owner's name."""
        asked = shapes.parse_list_query(wire.query_pairs(call.scope["query_string"]))
        shown = await self._images.show(call.caller, call.params["id"])
        view = shapes.image_view(self._api.view(shown), alone=True)
        if asked.rights:
            view["rights"] = self._rights.on_image(call.caller, shown.image)
            view["owner_name"] = await self._owner_name(call, shown.image)
        return wire.json_response(view)

    async def update(self, call: Call) -> Response:
        """Replace an image's attributes; absent ones get their defaults, as in Horizon."""
        await self._change(call, shapes.metadata(await document(call)))
        return wire.no_content()

    async def show_properties(self, call: Call) -> Response:
        """Show only the custom properties."""
        shown = await self._images.show(call.caller, call.params["id"])
        return wire.json_response(shapes.properties(self._api.view(shown)))

    async def update_properties(self, call: Call) -> Response:
        """Set some properties and remove others; removing an absent one is no error."""
        data = await document(call)
        updated, removed = data.get("updated"), data.get("removed") or []
        if not isinstance(updated, dict) or not isinstance(removed, list):
            raise Invalid("'updated' is an object and 'removed' a list of names.")
        if "os_hidden" in updated:
            updated = {**updated, "os_hidden": updated["os_hidden"] in ("true", True)}
        await self._change(call, updated, removed)
        return wire.no_content()

    async def download(self, call: Call) -> Response:
        """Send an image's data as an attachment named after the image."""
        disposition = filenames.attachment((await self._images.show(call.caller, call.params["id"])).image)
        answer = await self._files.download(call)  # holds a download slot: nothing may fail before it is sent
        answer.headers["Content-Disposition"] = disposition
        return answer

    def _fetcher(self, call: Call, address: Any, *, copied: bool) -> Callable[[Image], Awaitable[None]]:
        """Return the action that imports a URL or adds it as a location; raises Invalid for a bad URL."""
        request_id = call.request_id

        async def copy(image: Image) -> None:
            token = call.cookies[SESSION]
            await self._imports.begin(call.caller, image.id, wanted, body, request_id=request_id, token=token)

        async def leave(image: Image) -> None:
            await self._locations.begin(call.caller, image.id, location, place, request_id)

        if copied:
            body = {"method": {"name": import_rules.WEB, "uri": address}}
            wanted = import_rules.parse(body, None, self._imports.methods)
            return copy
        place = {"url": address}
        location = parse_location(place)
        return leave

    async def _change(self, call: Call, wanted: Mapping[str, Any], removed: Sequence[Any] = ()) -> None:
        check_count(len(wanted) + len(removed))

        def compare(image: Image) -> Sequence[Change]:
            return shapes.changes(wire.image_view(image), wanted, removed, self._limits)

        await self._images.update_shown(call.caller, call.params["id"], compare)

    async def _owner_name(self, call: Call, image: Image) -> str | None:
        """Look up the name of an image's project, unless it is the caller's own, which the page knows."""
        if image.owner is None or image.owner == call.caller.project_id:
            return None
        names = await self._logins.project_names(call.cookies[SESSION], {image.owner})
        return names.get(image.owner)

    @contextlib.asynccontextmanager
    async def _deleted_on_failure(self, caller: Caller, image: Image) -> AsyncIterator[None]:
        """Delete a new image if its data is refused, or its sender disconnects."""
        try:
            yield
        except BaseException:
            await shielded(self._delete_new(caller, image))
            raise

    async def _delete_new(self, caller: Caller, image: Image) -> None:
        with contextlib.suppress(TintypeError):
            if image.protected:
                lifted = [Change("replace", "protected", value=False)]
                await self._images.update(caller, image.id, lifted)
            await self._images.delete(caller, image.id)

    def _check_length(self, call: Call) -> None:
        """Raise OverLimit if a form is larger than an image may be."""
        length = call.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or len(length) > _DIGITS:
            raise Invalid("A form with a file must declare its length (Content-Length).")
        if int(length) > self._limits.size + call.body_limit:
            raise OverLimit(f"The image is too large: at most {self._limits.size} bytes are allowed.")


def _query(asked: shapes.ListQuery, size: int) -> query.Query:
    descending = asked.descending is not False  # newest first by default
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
    return msgspec.structs.replace(
        wanted, conditions=(*wanted.conditions, shapes.search_condition(asked.search))
    )


async def _last_part(form: Form) -> AsyncIterator[bytes]:
    """Yield a form's file; raises Invalid if fields follow it."""
    before = dict(form.fields)
    async for piece in form.file():
        yield piece
    check_no_fields_after(form.fields, before)


def _attributes(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the image's attributes in a form."""
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
    """Return 201 as Horizon does: with the name, not the id, in `Location`."""
    return wire.json_response(view, 201, {"Location": f"{PATH}/{quote(view['name'] or '')}"})
