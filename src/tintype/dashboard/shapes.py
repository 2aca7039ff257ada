"""Pure conversions between Horizon's form of images and the image API's.

Sources: `openstack_dashboard.api.rest.glance` and `openstack_dashboard.api.glance`. Their behaviour is kept
even where it is surprising: an attribute that a page does not send gets its default, also in an update.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tintype.domain.images import UUID, VISIBILITIES, Limits
from tintype.domain.patch import Change, make_change
from tintype.domain.query import Condition
from tintype.errors import Invalid

LIMIT: Final = 1000
"""Most items of a list without paging."""
PAGE: Final = 20
"""Default number of items on a page."""

_BASE: Final = (
    *("architecture", "container_format", "disk_format", "created_at", "owner", "size", "id", "status"),
    *("updated_at", "checksum", "visibility", "name", "protected", "min_disk", "min_ram"),
)
_ONLY_ALONE: Final = frozenset(
    {
        *("file", "locations", "schema", "tags", "virtual_size"),
        *("kernel_id", "ramdisk_id", "image_url"),
    }
)
"""Attributes that are shown as properties of a single image, but not in lists."""
_KNOWN: Final = frozenset(
    {
        *("visibility", "protected", "disk_format", "container_format", "min_disk", "min_ram", "name"),
        *("properties", "kernel", "ramdisk", "tags", "import_data", "source", "image_id", "image_url"),
        *("source_type", "data", "public", "checksum", "created_at", "deleted", "is_copying", "deleted_at"),
        *("is_public", "virtual_size", "status", "size", "owner", "id", "updated_at", "kernel_id"),
        *("ramdisk_id", "image_file"),
    }
)
"""Names that are not custom properties."""
_PROPERTIES: Final = {
    "description": "description",
    "kernel": "kernel_id",
    "ramdisk": "ramdisk_id",
    "architecture": "architecture",
}
_SAME_CONTAINER: Final = frozenset({"ami", "aki", "ari"})
_CONTAINERS: Final = {"docker": ("raw", "docker"), "vhd": ("vhd", "ovf"), "ova": ("vmdk", "ova")}
"""Disk format and container format for values that a page sends as the disk format."""
_VALUES: Final = {"None": None, "True": True, "False": False}
_KEYWORDS: Final = ("resource_type", "marker", "sort_dir", "sort_key", "paginate")
_BACKWARD: Final = "reversed_order"
_SEARCH: Final = "search"
_RIGHTS: Final = "rights"
_NO: Final = (None, False, "", "false", "0")


class ListQuery(msgspec.Struct, frozen=True):
    """The query of a list."""

    filters: dict[str, str]
    paginate: bool = False
    marker: str | None = None
    sort_key: str | None = None
    descending: bool | None = None
    resource_type: str | None = None
    backward: bool = False
    """Whether to return the page before the marker."""
    search: str = ""
    """Part of a name, or an id."""
    rights: bool = False
    """Whether to include the caller's rights on each item."""


def parse_list_query(pairs: Iterable[tuple[str, str]]) -> ListQuery:
    """Parse a query string, in which unknown parameters are filters; raises Invalid for a bad direction."""
    values: dict[str, Any] = {name: _VALUES.get(value, value) for name, value in pairs}
    said = {name: values.pop(name, None) for name in (*_KEYWORDS, _BACKWARD, _SEARCH, _RIGHTS)}
    if said["sort_dir"] not in {None, "asc", "desc"}:
        raise Invalid(f"Invalid sort direction: {said['sort_dir']}. It must be one of: asc, desc.")
    return ListQuery(
        _filters(values),
        paginate=said["paginate"] not in _NO,
        marker=_text(said["marker"]),
        sort_key=said["sort_key"] if isinstance(said["sort_key"], str) else None,
        descending=None if said["sort_dir"] is None else said["sort_dir"] == "desc",
        resource_type=_text(said["resource_type"]),
        backward=said[_BACKWARD] not in _NO,
        search=(_text(said[_SEARCH]) or "").strip(),
        rights=said[_RIGHTS] not in _NO,
    )


def search_condition(text: str) -> Condition:
    """Return the condition for an id or part of a name, ignoring case (on SQLite only for ASCII)."""
    if UUID.fullmatch(text):
        return Condition("id", "eq", text.lower())
    return Condition("name", "has", text)


def page_size(cookie: str | None) -> int:
    """Return the number of items on a page, from Horizon's cookie `API_RESULT_PAGE_SIZE`."""
    if cookie is not None and cookie.isascii() and cookie.isdigit() and len(cookie) < 5:
        return max(1, min(int(cookie), LIMIT))
    return PAGE


def more(found: int, size: int, request: ListQuery) -> dict[str, bool]:
    """Return whether pages follow and precede one; `found` items were read, with `size` + 1 requested."""
    cut, marked = found > size, request.marker is not None
    if not request.paginate:
        return {"has_more_data": False, "has_prev_data": False}
    if request.backward:
        return {"has_more_data": cut or marked, "has_prev_data": cut and marked}
    return {"has_more_data": cut, "has_prev_data": marked}


def image_view(view: Mapping[str, Any], *, alone: bool = False) -> dict[str, Any]:
    """Convert the image API's view of an image to Horizon's; `alone` for a single image."""
    shown = {name: view.get(name) for name in _BASE}
    shown["size"] = view.get("size") or 0
    shown["is_public"] = view["visibility"] == "public"
    shown["properties"] = properties(view, alone=alone)
    return shown


def properties(view: Mapping[str, Any], *, alone: bool = False) -> dict[str, Any]:
    """Return the custom properties of an image."""
    hidden = {*_BASE, "is_public", "self", *(() if alone else _ONLY_ALONE)}
    return {name: value for name, value in view.items() if name not in hidden}


def metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's attributes from a page's request; raises Invalid for an unknown visibility."""
    disk, container = data.get("disk_format", "raw"), data.get("container_format", "bare")
    if isinstance(disk, str) and disk in _SAME_CONTAINER:
        container = disk
    elif isinstance(disk, str) and disk in _CONTAINERS:
        disk, container = _CONTAINERS[disk]
    visibility = data.get("visibility", "private")
    if visibility not in VISIBILITIES:
        raise Invalid(f"invalid visibility option: {visibility}")
    return {
        "protected": data.get("protected", False),
        "disk_format": disk,
        "container_format": container,
        "min_disk": data.get("min_disk") or 0,
        "min_ram": data.get("min_ram") or 0,
        "name": data.get("name", ""),
        "visibility": visibility,
        **{name: data[key] for key, name in _PROPERTIES.items() if data.get(key)},
        **{name: value for name, value in data.items() if name not in _KNOWN},
    }


def changes(
    view: Mapping[str, Any], wanted: Mapping[str, Any], removed: Iterable[Any], limits: Limits
) -> list[Change]:
    """Return the changes that set the wanted values, and remove those of the `removed` names that exist."""
    setting = [
        make_change("replace" if name in view else "add", name, value, limits)
        for name, value in wanted.items()
        if view.get(name) != value  # absent attributes are shown as null, and may be sent back as null
    ]
    named = dict.fromkeys(name for name in removed if isinstance(name, str))
    gone = [name for name in named if name in view and name not in wanted and name != "stores"]
    return [*setting, *(make_change("remove", name, None, limits) for name in gone)]


def _filters(values: dict[str, Any]) -> dict[str, str]:
    """Convert filters to the image API's; raises Invalid for an `is_public` that is no boolean."""
    if "is_public" in values:
        public = values.pop("is_public")
        if isinstance(public, bool):
            values["visibility"] = "public" if public else "private"
        elif public is not None:
            raise Invalid(f"Invalid value '{public}' for 'is_public' filter. It is True, False or None.")
    if "property-owner_id" in values:
        values["owner"] = values.pop("property-owner_id")
    return {name: str(each).lower() if isinstance(each, bool) else str(each) for name, each in values.items()}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
