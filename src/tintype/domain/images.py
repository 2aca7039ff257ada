"""What an image is, which states it passes through, and which values it takes.

The names, limits and refusals are those of the Image API v2.
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
    QUEUED: frozenset({SAVING, UPLOADING, IMPORTING, ACTIVE, DELETED}),  # active at once: bytes of others
    SAVING: frozenset({ACTIVE, QUEUED, DELETED}),
    UPLOADING: frozenset({IMPORTING, QUEUED, DELETED}),
    IMPORTING: frozenset({ACTIVE, QUEUED, DELETED}),
    ACTIVE: frozenset({DEACTIVATED, DELETED}),
    DEACTIVATED: frozenset({ACTIVE, DELETED}),
    DELETED: frozenset(),
}
"""From each status, the ones it may change to."""

FILLING: Final = (SAVING, UPLOADING)
"""Statuses of an image that an upload has taken for itself; it goes back to queued where that fails."""

BUSY: Final = (*FILLING, IMPORTING)
"""Statuses of an image whose bytes are on their way."""

STATUSES: Final = (
    *("queued", "saving", "active", "killed", "deleted"),
    *("uploading", "importing", "pending_delete", "deactivated"),
)
"""All statuses of the API, in the order of its schema, ours or not: clients know them."""

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
"""Properties that name all a signature is verified with; an image that lacks one of them is not signed."""
UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class Limits(msgspec.Struct, frozen=True):
    """How much an image may hold; the defaults are Glance's."""

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
    """One image as the rules see it. Times are microseconds since the epoch, sizes are bytes."""

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
    """Why the last upload came to nothing; None where there was none, or it is being tried again."""
    importing_to: str | None = None
    """Stores that an import still has to fill, separated by commas; None where there was no import."""
    import_failed: str | None = None
    """Stores that the last import did not fill."""
    import_task: str | None = None
    """The task of an import that is not at its end."""
    properties: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    version: int = 1
    """Counts saves: a save of an image that somebody else has saved meanwhile is refused."""
    member_id: str | None = None
    """The caller's project where the image is shared with it, whatever it answered; else None."""

    @property
    def digests(self) -> dict[str, str]:
        """The strong digest of the bytes, in hex by algorithm; nothing where none is known yet."""
        known = self.os_hash_algo and self.os_hash_value
        return {self.os_hash_algo or "": self.os_hash_value or ""} if known else {}

    def target(self) -> dict[str, Any]:
        """Give what policy rules may name in `%(…)s`."""
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
    """Say whether the caller may know that the image exists, policy apart."""
    return (
        caller.is_admin
        or image.owner is None
        or image.owner == caller.project_id
        or image.visibility in {"public", "community"}
        or (image.visibility == "shared" and image.member_id is not None)
    )


def check_changeable_by(caller: Caller, image: Image) -> None:
    """Refuse changes by others than the owner and admins, whatever the policy says."""
    if not caller.is_admin and (image.owner is None or image.owner != caller.project_id):
        raise Forbidden("You do not own this image")


def changed_status(image: Image, status: str, **changes: Any) -> Image:
    """Move an image to another status.

    Raises Conflict where the transition table does not allow it, and Invalid where data would
    arrive before the formats are known.
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
    """Refuse data for an image whose formats are not known."""
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if missing:
        noun = "Property" if len(missing) == 1 else "Properties"
        raise Invalid(f"{noun} {', '.join(missing)} must be set prior to saving data.")


def deactivated(image: Image) -> Image:
    """Give the image without access to its data; the image itself if that is so already."""
    if image.status == DEACTIVATED:
        return image
    if image.status != ACTIVE:
        raise Forbidden(f"Not allowed to deactivate image in status '{image.status}'")
    return changed_status(image, DEACTIVATED)


def reactivated(image: Image) -> Image:
    """Give the image with access to its data again; the image itself if that is so already."""
    if image.status == ACTIVE:
        return image
    if image.status != DEACTIVATED:
        raise Forbidden(f"Not allowed to reactivate image in status '{image.status}'")
    return changed_status(image, ACTIVE)


def is_signed(properties: Mapping[str, str]) -> bool:
    """Return whether an image with these properties has a signature that its bytes must match."""
    return all(name in properties for name in SIGNATURE)


def check_deletable(image: Image) -> None:
    """Refuse to delete a protected image."""
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")


def check_name_is_free_to_set(name: str) -> None:
    """Refuse attributes that belong to the service."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_format_change(image: Image, name: str) -> None:
    """Refuse to relabel bytes that are already there."""
    if name in {"disk_format", "container_format"} and image.status != QUEUED:
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")


def checked_tags(tags: Iterable[str], limits: Limits) -> tuple[str, ...]:
    """Give tags once each, in order; OverLimit where there are too many."""
    unique = set(tags)
    if len(unique) > limits.tags:
        raise OverLimit(f"Maximum number of tags is {limits.tags}; the image would have {len(unique)}.")
    return tuple(sorted(unique))


def check_properties(properties: Mapping[str, str], limits: Limits) -> None:
    """Refuse more, or larger, custom properties than allowed: a page of images must stay a page."""
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
    """Return a value as it is stored; raises Invalid where the attribute or property cannot take it.

    The types are those of the image schema: what is no base attribute is a property, a string.
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
    )  # JSON has one: number
    if not whole or isinstance(value, bool):
        raise Invalid(f"'{name}' must be an integer, not {_type_name(value)}.")
    if not 0 <= value <= INTEGER_LIMIT:
        raise Invalid(f"Invalid value '{value}' for parameter '{name}': it must be 0 to {INTEGER_LIMIT}.")


def _one_of(name: str, value: Any, allowed: Iterable[str | None]) -> None:
    if value not in (options := tuple(allowed)) or isinstance(value, (bool, int)):
        shown = ", ".join("null" if option is None else option for option in options)
        raise Invalid(f"'{name}' must be one of: {shown}.")


def _visibility(name: str, value: Any, _limits: Limits) -> None:
    _one_of(name, value, VISIBILITIES)


def _disk_format(name: str, value: Any, limits: Limits) -> None:
    _one_of(name, value, (None, *limits.disk_formats))


def _container_format(name: str, value: Any, limits: Limits) -> None:
    _one_of(name, value, (None, *limits.container_formats))


def _tags(name: str, value: Any, limits: Limits) -> None:
    if not isinstance(value, list):
        raise Invalid(f"'{name}' must be an array of strings, not {_type_name(value)}.")
    unique = {tag for tag in value if isinstance(tag, str)}
    checked_tags(unique, limits)
    for tag in (*unique, *(tag for tag in value if not isinstance(tag, str))):
        check_tag(tag)


def check_tag(tag: Any) -> None:
    """Refuse what cannot be a tag."""
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
    "visibility": _visibility,
    "protected": _boolean,
    "os_hidden": _boolean,
    "disk_format": _disk_format,
    "container_format": _container_format,
    "min_disk": _count,
    "min_ram": _count,
    "tags": _tags,
}

BASE_ATTRIBUTES: Final = frozenset(_CHECKS) | READ_ONLY
"""Every attribute of the image schema that is not a custom property."""


def new_image(
    attributes: Mapping[str, Any], *, image_id: str, owner: str | None, now: int, limits: Limits
) -> Image:
    """Make a queued image from the attributes of a create request.

    `image_id` and `owner` apply where the request names none. Raises Invalid for a value that does
    not fit, Forbidden for attributes of the service, OverLimit for too many properties or tags.
    """
    _check_count(len(attributes.keys() - BASE_ATTRIBUTES), limits)
    base: dict[str, Any] = {"id": image_id, "owner": owner}
    properties: dict[str, str] = {}
    for name, value in attributes.items():
        if name != "id":
            check_name_is_free_to_set(name)
        checked = checked_value(name, value, limits)
        if name in BASE_ATTRIBUTES:
            base[name] = checked
        elif checked is not None:  # null, which only an operator's schema allows, is no value
            properties[name] = checked
    check_properties(properties, limits)
    if limits.schema is not None:
        limits.schema.check_new(attributes)
    base["id"] = base["id"].lower()
    base["tags"] = checked_tags(base.get("tags", ()), limits)
    return Image(**base, properties=properties, created_at=now, updated_at=now)
