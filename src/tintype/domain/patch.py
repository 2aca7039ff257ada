"""The image API's two dialects of JSON patch.

Both have add, replace and remove for top-level attributes of an image:

* `application/openstack-images-v2.1-json-patch`: `{"op": "add", "path": "/name", "value": …}`;
  add replaces an existing value.
* `application/openstack-images-v2.0-json-patch`: `{"add": "/name", "value": …}` (draft 4 of the
  RFC); add of an existing property is a conflict.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tintype.domain import images
from tintype.domain.images import Image, Limits
from tintype.errors import Conflict, Forbidden, Invalid, UnsupportedMedia

MEDIA_TYPES: Final = (
    "application/openstack-images-v2.0-json-patch",
    "application/openstack-images-v2.1-json-patch",
)
_MOST_OPERATIONS: Final = 1000
_OPERATIONS: Final = ("add", "remove", "replace")
_DEPTHS: Final = {("locations", "add"): 2, ("locations", "remove"): 2}


class Change(msgspec.Struct, frozen=True):
    """One operation on one attribute or property."""

    op: str
    name: str
    value: Any = None
    strict_add: bool = False
    """Draft 4: adding an existing property is a conflict."""


class LocationChange(msgspec.Struct, frozen=True):
    """One operation on an image's locations, if the settings allow it."""

    op: str
    position: int | None
    """The index of the location to remove; None for add and replace."""
    value: Any = None


_NOTHING: Final = Change("remove", "stores")
"""A change without effect: openstacksdk takes `stores` for a property and removes it."""


def parse(media_type: str, body: Any, limits: Limits) -> list[Change]:
    """Parse a patch document.

    Raises UnsupportedMedia for another media type, Invalid for a malformed operation or a bad value,
    Forbidden for read-only and reserved attributes.
    """
    if media_type not in MEDIA_TYPES:
        allowed = ", ".join(MEDIA_TYPES)
        raise UnsupportedMedia(f"Image PATCH expects Content-Type one of: {allowed}", patch_types=MEDIA_TYPES)
    if not isinstance(body, list):
        raise Invalid("Request body must be a JSON array of operation objects.")
    check_count(len(body))
    draft4 = media_type == MEDIA_TYPES[0]
    changes = [_parse_change(raw, draft4=draft4, limits=limits) for raw in body]
    return [change for change in changes if change is not _NOTHING]


def check_count(count: int) -> None:
    """Raise Invalid for more operations than a patch may have; to be called before any is looked at."""
    if count > _MOST_OPERATIONS:
        raise Invalid(f"A patch may have at most {_MOST_OPERATIONS} operations; {count} were given.")


def parse_locations(media_type: str, body: Any) -> LocationChange | None:
    """Parse a patch document that changes locations; return None for any other.

    Raises Invalid if it has further operations: they are saved separately, and a patch is atomic.
    """
    draft4 = media_type == MEDIA_TYPES[0]
    read = _draft4_operation if draft4 else _operation
    if not isinstance(body, list) or len(body) > _MOST_OPERATIONS:
        return None
    operations = [(raw, *read(raw)) for raw in body if isinstance(raw, dict)]
    on_locations = [each for each in operations if str(each[2]).startswith("/locations")]
    if not on_locations or media_type not in MEDIA_TYPES:
        return None
    if len(body) != 1:
        raise Invalid("A patch that changes an image's locations has one operation.")
    return _parse_location_change(*on_locations[0])


def _parse_location_change(raw: dict[str, Any], op: str, pointer: Any) -> LocationChange:
    path = _decode_pointer(pointer)
    if path[0] != "locations" or len(path) != (1 if op == "replace" else 2):
        raise Invalid(f"Invalid JSON pointer for this resource: '{pointer}'")
    if op == "remove":
        if not (path[1].isascii() and path[1].isdigit() and len(path[1]) < 4):
            raise Invalid("Invalid position for removing a location.")
        return LocationChange(op, int(path[1]))
    if op == "add" and path[1] != "-":
        raise Invalid("Invalid position for adding a location: they are added at the end, with '-'.")
    if "value" not in raw:
        raise Invalid(f'Operation "{op}" requires a member named "value".')
    return LocationChange(op, None, raw["value"])


def apply(image: Image, changes: Sequence[Change], limits: Limits) -> Image:
    """Return the image after all changes, in order; raise if one of them is refused.

    Raises Conflict for a property that exists already or does not exist, Forbidden for an attribute that
    cannot be removed or changed now, OverLimit for too many properties or tags.
    """
    base: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in changes:
        if change.name in images.BASE_ATTRIBUTES:
            _apply_to_base(image, change)
            value = change.value
            base[change.name] = images.checked_tags(value, limits) if change.name == "tags" else value
        else:
            _apply_to_properties(properties, change)
    images.check_properties(properties, limits)
    if limits.schema is not None:
        limits.schema.check_kept(image.properties, properties)
    return msgspec.structs.replace(image, **base, properties=properties)


def _apply_to_base(image: Image, change: Change) -> None:
    if change.op == "remove":
        raise Forbidden(f"Property {change.name} may not be removed.")
    if change.strict_add and change.op == "add":
        raise Conflict(f"Property {change.name} already present.")
    images.check_format_change(image, change.name)


def _apply_to_properties(properties: dict[str, str], change: Change) -> None:
    there = change.name in properties
    if change.op == "add" and there and change.strict_add:
        raise Conflict(f"Property {change.name} already present.")
    if change.op != "add" and not there:
        raise Conflict(f"Property {change.name} does not exist.")
    text = None if change.op == "remove" else change.value
    if text is None:
        properties.pop(change.name, None)
    else:
        properties[change.name] = text


def _parse_change(raw: Any, *, draft4: bool, limits: Limits) -> Change:
    if not isinstance(raw, dict):
        raise Invalid("Operations must be JSON objects.")
    op, pointer = _draft4_operation(raw) if draft4 else _operation(raw)
    path = _decode_pointer(pointer)
    name = path[0]
    if len(path) != _DEPTHS.get((name, op), 1):
        raise Invalid(f"Invalid JSON pointer for this resource: '/{'/'.join(path)}'")
    if (op, name) == ("remove", "stores"):
        return _NOTHING
    if op != "remove" and "value" not in raw:
        raise Invalid(f'Operation "{op}" requires a member named "value".')
    return make_change(op, name, raw.get("value"), limits, strict_add=draft4)


def make_change(op: str, name: str, value: Any, limits: Limits, *, strict_add: bool = False) -> Change:
    """Return a validated change.

    Raises Forbidden for read-only and reserved attributes, Invalid for a bad value.
    """
    images.check_settable(name)
    if op == "remove":
        return Change(op, name, strict_add=strict_add)
    return Change(op, name, images.checked_value(name, value, limits), strict_add=strict_add)


def _operation(raw: dict[str, Any]) -> tuple[str, Any]:
    op = raw.get("op")
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise Invalid(
            f"Invalid operation: `{op}`. It must be one of the following: {', '.join(_OPERATIONS)}."
        )
    if "path" not in raw:
        raise Invalid("Unable to find 'path' in JSON Schema change")
    return op, raw["path"]


def _draft4_operation(raw: dict[str, Any]) -> tuple[str, Any]:
    found = [op for op in _OPERATIONS if op in raw]
    if len(found) != 1:
        raise Invalid(
            'Operation objects must contain exactly one member named "add", "remove", or "replace".'
        )
    return found[0], raw[found[0]]


def _decode_pointer(pointer: Any) -> list[str]:
    """Split a JSON pointer (RFC 6901, as far as the API supports it)."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise Invalid(f'Pointer `{pointer}` does not start with "/".')
    if re.search(r"/\s*?/", pointer[1:]):
        raise Invalid(f'Pointer `{pointer}` contains adjacent "/".')
    if len(pointer) > 1 and pointer.endswith("/"):
        raise Invalid(f'Pointer `{pointer}` end with "/".')
    if re.search("~[^01]", pointer) or pointer.endswith("~"):
        raise Invalid(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    parts = pointer.lstrip("/").split("/")
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in parts]
