"""Images: attributes, status transitions, and validation of values.

The names, limits and errors are those of the Image API v2.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from tintype.domain.callers import Caller
from tintype.domain.property_schema import PropertySchema
from tintype.errors import Conflict, Forbidden, Invalid, OverLimit

QUEUED: Final = "queued"
SAVING: Final = "saving"
UPLOADING: Final = "uploading"
IMPORTING: Final = "importing"
ACTIVE: Final = "active"
DEACTIVATED: Final = "deactivated"
DELETED: Final = "deleted"

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: frozenset({SAVING, UPLOADING, IMPORTING, ACTIVE, DELETED}),  # active at once: locations
    SAVING: frozenset({ACTIVE, QUEUED, DELETED}),
    UPLOADING: frozenset({IMPORTING, QUEUED, DELETED}),
    IMPORTING: frozenset({ACTIVE, QUEUED, DELETED}),
    ACTIVE: frozenset({DEACTIVATED, DELETED}),
    DEACTIVATED: frozenset({ACTIVE, DELETED}),
    DELETED: frozenset(),
}
"""The statuses that an image may change to from each status."""

FILLING: Final = (SAVING, UPLOADING)
"""Statuses of an image that an upload has claimed; it goes back to queued if the upload fails."""

BUSY: Final = (*FILLING, IMPORTING)
"""Statuses of an image whose bytes are being brought in."""

STATUSES: Final = (
    *("queued", "saving", "active", "killed", "deleted"),
    *("uploading", "importing", "pending_delete", "deactivated"),
)
"""All statuses of the API in the order of its schema, including those that are never used here."""

VISIBILITIES: Final = ("community", "public", "private", "shared")
READ_ONLY: Final = frozenset(
    {
        *("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"),
        *("created_at", "updated_at", "direct_url", "self", "file", "schema", "stores"),
    }
)
RESERVED: Final = frozenset({"location", "locations", "deleted", "deleted_at"})
RESERVED_PREFIX: Final = "os_glance"
NAME_LIMIT: Final = 255
PROPERTY_VALUE_LIMIT: Final = 65_535
INTEGER_LIMIT: Final = 2**31 - 1
SIGNATURE: Final = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)
"""Properties needed to verify a signature; an image that lacks one of them is not signed."""
UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class Limits(msgspec.Struct, frozen=True):
    """Limits of an image; the defaults are Glance's."""

    disk_formats: tuple[str, ...]
    container_formats: tuple[str, ...]
    properties: int = 128
    property_bytes: int = 128 << 10
    tags: int = 128
    members: int = 128
    size: int = 1 << 40
    schema: PropertySchema | None = None
    """The operator's definitions of custom properties."""


class Image(msgspec.Struct, frozen=True):
    """An image. Times are microseconds since the epoch, sizes are bytes."""

    id: str
    created_at: int
    updated_at: int
    name: str | None = None
    owner: str | None = None
    status: str = QUEUED
    visibility: str = "shared"
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    failure: str | None = None
    """The reason why the last upload failed; None if there was none or a new one is running."""
    importing_to: str | None = None
    """Stores that an import still has to fill, separated by commas; None if there was no import."""
    import_failed: str | None = None
    """Stores that the last import failed to fill."""
    import_task: str | None = None
    """The id of the task whose import is in progress."""
    properties: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    version: int = 1
    """The number of saves, for optimistic locking: saving an outdated version fails."""
    member_id: str | None = None
    """The caller's project if the image is shared with it, whatever the member's status; else None."""

    @property
    def digests(self) -> dict[str, str]:
        """The strong digest of the bytes, in hex by algorithm; empty if it is not known yet."""
        known = self.os_hash_algo and self.os_hash_value
        return {self.os_hash_algo or "": self.os_hash_value or ""} if known else {}

    def target(self) -> dict[str, Any]:
        """Return the attributes that policy rules can refer to as `%(…)s`."""
        return {
            **self.properties,
            "project_id": self.owner,
            "owner": self.owner,
            "tenant": self.owner,
            "visibility": self.visibility,
            "member_id": self.member_id if self.visibility == "shared" else None,
            "id": self.id,
            "image_id": self.id,
            "name": self.name,
            "status": self.status,
            "protected": self.protected,
            "os_hidden": self.os_hidden,
            "disk_format": self.disk_format,
            "container_format": self.container_format,
        }


def visible(image: Image, caller: Caller) -> bool:
    """Return whether an image is visible to the caller, apart from policy rules."""
    return (
        caller.is_admin
        or image.owner is None
        or image.owner == caller.project_id
        or image.visibility in {"public", "community"}
        or (image.visibility == "shared" and image.member_id is not None)
    )


def check_changeable_by(caller: Caller, image: Image) -> None:
    """Raise Forbidden unless the caller is the owner or an admin, whatever the policy says."""
    if not caller.is_admin and (image.owner is None or image.owner != caller.project_id):
        raise Forbidden("You do not own this image")


def changed_status(image: Image, status: str, **changes: Any) -> Image:
    """Return the image in another status, with further changes.

    Raises Conflict if the transition is not allowed, and Invalid if data would arrive before the formats
    are set.
    """
    if image.status == status == SAVING:
        raise Conflict(f"Image {image.id} is being uploaded already.")
    if status in FILLING and image.import_task is not None:
        raise Conflict(f"A task is at work on the image '{image.id}' already: {image.import_task}.")
    if status not in TRANSITIONS[image.status]:
        raise Conflict(f"Image status transition from {image.status} to {status} is not allowed")
    if status == SAVING:
        check_formats(image)
    if status in BUSY:
        changes["failure"] = None
    return msgspec.structs.replace(image, status=status, **changes)


def check_formats(image: Image) -> None:
    """Raise Invalid if the image's formats are not set, so that it cannot be filled."""
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if missing:
        noun = "Property" if len(missing) == 1 else "Properties"
        raise Invalid(f"{noun} {', '.join(missing)} must be set prior to saving data.")


def deactivated(image: Image) -> Image:
    """Return the image deactivated, or the same object if it is so already."""
    if image.status == DEACTIVATED:
        return image
    if image.status != ACTIVE:
        raise Forbidden(f"Not allowed to deactivate image in status '{image.status}'")
    return changed_status(image, DEACTIVATED)


def reactivated(image: Image) -> Image:
    """Return the image active again, or the same object if it is so already."""
    if image.status == ACTIVE:
        return image
    if image.status != DEACTIVATED:
        raise Forbidden(f"Not allowed to reactivate image in status '{image.status}'")
    return changed_status(image, ACTIVE)


def is_signed(properties: Mapping[str, str]) -> bool:
    """Return whether these properties declare a signature that the bytes must match."""
    return all(name in properties for name in SIGNATURE)


def check_deletable(image: Image) -> None:
    """Raise Forbidden if the image is protected."""
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")


def check_settable(name: str) -> None:
    """Raise Forbidden for read-only and reserved attributes."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_format_change(image: Image, name: str) -> None:
    """Raise Forbidden for a change of formats once the image is not queued any more."""
    if name in {"disk_format", "container_format"} and image.status != QUEUED:
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")


def checked_tags(tags: Iterable[str], limits: Limits) -> tuple[str, ...]:
    """Return the distinct tags, sorted. Raises OverLimit if there are too many."""
    unique = set(tags)
    if len(unique) > limits.tags:
        raise OverLimit(f"Maximum number of tags is {limits.tags}; the image would have {len(unique)}.")
    return tuple(sorted(unique))


def check_properties(properties: Mapping[str, str], limits: Limits) -> None:
    """Raise OverLimit if custom properties are too many or too large in total."""
    _check_count(len(properties), limits)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())
    if size > limits.property_bytes:
        raise OverLimit(
            f"Properties may have {limits.property_bytes} bytes in all; the image would have {size}."
        )


def _check_count(properties: int, limits: Limits) -> None:
    if properties > limits.properties:
        raise OverLimit(
            f"Maximum number of properties is {limits.properties}; the image would have {properties}."
        )


def checked_value(name: str, value: Any, limits: Limits) -> Any:
    """Return a value as it is stored. Raises Invalid if the attribute or property cannot have it.

    Types follow the image schema: any name that is not a base attribute is a property, a string.
    """
    check = _CHECKS.get(name)
    if check is not None:
        check(name, value, limits)
        return int(value) if check is _count else value
    if not name or len(name) > NAME_LIMIT:
        raise Invalid(f"A property's name must have 1 to {NAME_LIMIT} characters.")
    _check_text("Property name", name)
    if limits.schema is not None and name in limits.schema.definitions:
        limits.schema.check(name, value)
        if value is None:
            return None
        value = str(value)
    _check_string(name, value, PROPERTY_VALUE_LIMIT)
    return value


def _check_text(name: str, value: str) -> None:
    if "\0" in value:
        raise Invalid(f"{name} must not contain a NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{name} is not valid Unicode: it has an unpaired surrogate.") from None


def _check_string(name: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise Invalid(f"'{name}' must be a string, not {_type_name(value)}.")
    if len(value) > limit:
        raise Invalid(f"'{name}' is too long: {len(value)} characters, {limit} are allowed.")
    _check_text(f"'{name}'", value)


def _nullable_string(name: str, value: Any, _limits: Limits) -> None:
    if value is not None:
        _check_string(name, value, NAME_LIMIT)


def _boolean(name: str, value: Any, _limits: Limits) -> None:
    if not isinstance(value, bool):
        raise Invalid(f"'{name}' must be true or false, not {_type_name(value)}.")


def _count(name: str, value: Any, _limits: Limits) -> None:
    whole = isinstance(value, int) or (
        isinstance(value, float) and value.is_integer()
    )  # JSON has only one type, number
    if not whole or isinstance(value, bool):
        raise Invalid(f"'{name}' must be an integer, not {_type_name(value)}.")
    if not 0 <= value <= INTEGER_LIMIT:
        raise Invalid(f"Invalid value '{value}' for parameter '{name}': it must be 0 to {INTEGER_LIMIT}.")


def _one_of(name: str, value: Any, allowed: Iterable[str | None]) -> None:
    if value not in (options := tuple(allowed)) or isinstance(value, (bool, int)):
        shown = ", ".join("null" if option is None else option for option in options)
        raise Invalid(f"'{name}' must be one of: {shown}.")


def _tags(name: str, value: Any, limits: Limits) -> None:
    if not isinstance(value, list):
        raise Invalid(f"'{name}' must be an array of strings, not {_type_name(value)}.")
    unique = {tag for tag in value if isinstance(tag, str)}
    checked_tags(unique, limits)
    for tag in (*unique, *(tag for tag in value if not isinstance(tag, str))):
        check_tag(tag)


def check_tag(tag: Any) -> None:
    """Raise Invalid for a value that cannot be a tag."""
    _check_string("tag", tag, NAME_LIMIT)


def _image_id(name: str, value: Any, _limits: Limits) -> None:
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise Invalid(f"'{name}' must be a UUID such as 6caf7a3f-feb9-4fb1-afb2-993c1ef019e6.")


def _type_name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


_CHECKS: Final[Mapping[str, Callable[[str, Any, Limits], None]]] = {
    "id": _image_id,
    "name": _nullable_string,
    "owner": _nullable_string,
    "visibility": lambda name, value, _limits: _one_of(name, value, VISIBILITIES),
    "protected": _boolean,
    "os_hidden": _boolean,
    "disk_format": lambda name, value, limits: _one_of(name, value, (None, *limits.disk_formats)),
    "container_format": lambda name, value, limits: _one_of(name, value, (None, *limits.container_formats)),
    "min_disk": _count,
    "min_ram": _count,
    "tags": _tags,
}

BASE_ATTRIBUTES: Final = frozenset(_CHECKS) | READ_ONLY
"""Every attribute of the image schema that is not a custom property."""


def new_image(
    attributes: Mapping[str, Any], *, image_id: str, owner: str | None, now: int, limits: Limits
) -> Image:
    """Create a queued image from the attributes of a request.

    `image_id` and `owner` apply if the request has none. Raises Invalid for a bad value, Forbidden for
    read-only and reserved attributes, OverLimit for too many properties or tags.
    """
    _check_count(len(attributes.keys() - BASE_ATTRIBUTES), limits)
    base: dict[str, Any] = {"id": image_id, "owner": owner}
    properties: dict[str, str] = {}
    for name, value in attributes.items():
        if name != "id":
            check_settable(name)
        checked = checked_value(name, value, limits)
        if name in BASE_ATTRIBUTES:
            base[name] = checked
        elif checked is not None:  # null, which only an operator's schema allows, means no value
            properties[name] = checked
    check_properties(properties, limits)
    if limits.schema is not None:
        limits.schema.check_new(attributes)
    base["id"] = base["id"].lower()
    base["tags"] = checked_tags(base.get("tags", ()), limits)
    return Image(**base, properties=properties, created_at=now, updated_at=now)
