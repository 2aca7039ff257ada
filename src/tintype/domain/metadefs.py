"""Metadata definitions: which properties exist, what they mean, and which resources may have them.

A namespace contains definitions of properties, objects (groups of properties) and tags, and is associated
with resource types. It is one document: each change of it is atomic.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from tintype.domain.callers import Caller
from tintype.errors import Conflict, Forbidden, NotFound

NAME_LIMIT: Final = 80
DESCRIPTION_LIMIT: Final = 500
OWNER_LIMIT: Final = 255
PUBLIC, PRIVATE = VISIBILITIES = ("public", "private")
SORT_KEYS: Final = (
    *("namespace", "display_name", "description", "visibility", "protected", "owner"),
    *("created_at", "updated_at", "id"),
)
TAG_SORT_KEYS: Final = ("name", "created_at", "updated_at")
TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")

Definition = dict[str, Any]
"""The definition of a property: a JSON schema, stored as it was given."""
T = TypeVar("T")


class Association(msgspec.Struct, frozen=True):
    """The association of a namespace with a resource type. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int
    prefix: str | None = None
    """Prefix of the properties' names on resources of this type."""
    properties_target: str | None = None
    """Which kind of the resource's properties is meant, if it has several."""


class Object(msgspec.Struct, frozen=True):
    """A group of properties. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int
    description: str | None = None
    required: tuple[str, ...] = ()
    properties: dict[str, Definition] = {}


class Tag(msgspec.Struct, frozen=True):
    """A tag that resources may have. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace and its contents by name, oldest first. Times are microseconds since the epoch."""

    id: str
    namespace: str
    display_name: str | None = None
    description: str | None = None
    visibility: str = PRIVATE
    protected: bool = False
    owner: str | None = None
    created_at: int
    updated_at: int
    properties: dict[str, Definition] = {}
    objects: dict[str, Object] = {}
    tags: dict[str, Tag] = {}
    associations: dict[str, Association] = {}
    loaded: str | None = None
    """The digest of the document it was loaded from; None if it was created here."""

    def target(self) -> dict[str, Any]:
        """Return the attributes that policy rules can refer to."""
        return {"project_id": self.owner, "visibility": self.visibility}


class Listing(msgspec.Struct, frozen=True):
    """A request for a page of namespaces, or of tags."""

    limit: int | None
    """None for all."""
    marker: str | None = None
    sort_key: str = "created_at"
    ascending: bool = False
    visibility: str | None = None
    resource_types: tuple[str, ...] | None = None


def visible(namespace: Namespace, caller: Caller) -> bool:
    """Return whether a namespace is visible to the caller."""
    return caller.is_admin or namespace.owner in {None, caller.project_id} or namespace.visibility == PUBLIC


def check_unprotected(namespace: Namespace) -> None:
    """Raise Forbidden if the namespace is protected."""
    if namespace.protected:
        raise Forbidden(f"Metadata definition namespace {namespace.namespace} is protected.")


def added(items: Mapping[str, T], name: str, value: T) -> dict[str, T]:
    """Return the items with one more. Raises Conflict if the name is taken."""
    if name in items:
        raise Conflict(f"'{name}' already exists in this namespace.")
    return {**items, name: value}


def with_kept_times(before: Association | None, after: Association) -> Association:
    """Return the old association, with its times, if the new one does not differ."""
    if before is None or (before.prefix, before.properties_target) != (after.prefix, after.properties_target):
        return after
    return before


def replaced(items: Mapping[str, T], old: str, name: str, value: T) -> dict[str, T]:
    """Return the items with one replaced at its position, perhaps under a new name.

    Raises NotFound, and Conflict if the new name is taken.
    """
    get(items, old)
    if name != old and name in items:
        raise Conflict(f"'{name}' already exists in this namespace.")
    return dict((name, value) if each == old else (each, kept) for each, kept in items.items())


def without(items: Mapping[str, T], name: str) -> dict[str, T]:
    """Return the items without one. Raises NotFound."""
    get(items, name)
    return {each: kept for each, kept in items.items() if each != name}


def get(items: Mapping[str, T], name: str) -> T:
    """Return one of the items. Raises NotFound."""
    if name not in items:
        raise NotFound(f"'{name}' was not found in this namespace.")
    return items[name]


def tag_page(tags: Mapping[str, Tag], listing: Listing) -> list[Tag]:
    """Return a page of tags; among equals later ones count as newer. Raises NotFound for the marker."""
    ordered = sorted(
        enumerate(tags.values()),
        key=lambda numbered: (getattr(numbered[1], listing.sort_key), numbered[0]),
        reverse=not listing.ascending,
    )
    page = [tag for _, tag in ordered]
    if listing.marker:
        page = page[page.index(get(tags, listing.marker)) + 1 :]
    return page[: listing.limit]


def merged(old: Namespace, new: Namespace, *, prefer_new: bool) -> Namespace:
    """Return the union of two namespaces; where both have an item, `prefer_new` decides which is kept."""
    first, second = (new, old) if prefer_new else (old, new)
    described = {
        name: getattr(second if getattr(first, name) is None else first, name)
        for name in ("display_name", "description")
    }
    contents = {
        name: getattr(old, name) | getattr(second, name) | getattr(first, name)
        for name in ("properties", "objects", "tags", "associations")
    }
    said = {"visibility": first.visibility, "protected": first.protected}
    return replace(old, **said, **described, **contents)


def prefixed(namespace: Namespace, resource_type: str | None) -> Namespace:
    """Return a namespace with its properties renamed by the prefix of the resource type, if it has one."""
    association = namespace.associations.get(resource_type or "")
    prefix = "" if association is None else association.prefix or ""
    if not prefix:
        return namespace

    def named(properties: Mapping[str, Definition]) -> dict[str, Definition]:
        return {prefix + name: definition for name, definition in properties.items()}

    objects = {
        each.name: replace(
            each,
            properties=named(each.properties),
            required=tuple(prefix + name for name in each.required),
        )
        for each in namespace.objects.values()
    }
    return replace(namespace, properties=named(namespace.properties), objects=objects)


def unprefixed(namespace: Namespace, resource_type: str, name: str) -> str:
    """Return the name of a property without the prefix of the resource type. Raises NotFound."""
    prefix = get(namespace.associations, resource_type).prefix
    if not prefix:
        raise NotFound(f"Properties have no prefix on resource type {resource_type}.")
    if not name.startswith(prefix):
        raise NotFound(
            f"Property {name} does not begin with the prefix of resource type {resource_type}: '{prefix}'."
        )
    return name.removeprefix(prefix)
