"""Metadata definitions: which properties there are, what they mean, and on what they may be set.

A namespace holds definitions of properties, objects (groups of properties) and tags, and says for which
types of resources they are. It is one document: what changes in it changes whole or not at all.
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
MOST_BYTES: Final = 4 << 20
"""Of a namespace with all that is in it, as JSON."""
TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")

Definition = dict[str, Any]
"""Of a property: a JSON schema, kept as it was given."""
T = TypeVar("T")


class Association(msgspec.Struct, frozen=True):
    """That a namespace is for a type of resource. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int
    prefix: str | None = None
    """Of the properties' names on resources of this type."""
    properties_target: str | None = None
    """Which of the resource's properties are meant, where it has several kinds."""


class Object(msgspec.Struct, frozen=True):
    """A group of properties. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int
    description: str | None = None
    required: tuple[str, ...] = ()
    properties: dict[str, Definition] = {}


class Tag(msgspec.Struct, frozen=True):
    """A word that resources may be tagged with. Times are microseconds since the epoch."""

    name: str
    created_at: int
    updated_at: int


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace and what is in it, by name, oldest first. Times are microseconds since the epoch."""

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
    """The digest of the document it was loaded from; None where it was made here."""

    def target(self) -> dict[str, Any]:
        """Give what policy rules may look at."""
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
    """Say whether the caller may know of a namespace."""
    return caller.is_admin or namespace.owner in {None, caller.project_id} or namespace.visibility == PUBLIC


def check_unprotected(namespace: Namespace) -> None:
    """Raise Forbidden where nothing of a namespace may be deleted."""
    if namespace.protected:
        raise Forbidden(f"Metadata definition namespace {namespace.namespace} is protected.")


def added(held: Mapping[str, T], name: str, value: T) -> dict[str, T]:
    """Give what is held with one more; raises Conflict where the name is taken."""
    if name in held:
        raise Conflict(f"'{name}' already exists in this namespace.")
    return {**held, name: value}


def kept(before: Association | None, after: Association) -> Association:
    """Give the association as it was where nothing new is said of it."""
    if before is None or (before.prefix, before.properties_target) != (after.prefix, after.properties_target):
        return after
    return before


def exchanged(held: Mapping[str, T], old: str, name: str, value: T) -> dict[str, T]:
    """Give what is held with one of them replaced, perhaps under another name, in its place.

    Raises NotFound, and Conflict where another has that name.
    """
    found(held, old)
    if name != old and name in held:
        raise Conflict(f"'{name}' already exists in this namespace.")
    return dict((name, value) if each == old else (each, kept) for each, kept in held.items())


def without(held: Mapping[str, T], name: str) -> dict[str, T]:
    """Give what is held but one; raises NotFound."""
    found(held, name)
    return {each: kept for each, kept in held.items() if each != name}


def found(held: Mapping[str, T], name: str) -> T:
    """Give one of what is held; raises NotFound."""
    if name not in held:
        raise NotFound(f"'{name}' was not found in this namespace.")
    return held[name]


def tag_page(tags: Mapping[str, Tag], listing: Listing) -> list[Tag]:
    """Give a page of tags, of one age the last ones as the youngest; raises NotFound for the marker."""
    ordered = sorted(
        enumerate(tags.values()),
        key=lambda numbered: (getattr(numbered[1], listing.sort_key), numbered[0]),
        reverse=not listing.ascending,
    )
    page = [tag for _, tag in ordered]
    if listing.marker:
        page = page[page.index(found(tags, listing.marker)) + 1 :]
    return page[: listing.limit]


def merged(old: Namespace, new: Namespace, *, prefer_new: bool) -> Namespace:
    """Give a namespace with what another of its name has besides; what both have is kept as one has it."""
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
    """Give a namespace with the names that its properties have on a type of resource, if it is for that."""
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
    """Give the name here of a property that is named as on a type of resource; raises NotFound."""
    prefix = found(namespace.associations, resource_type).prefix
    if not prefix:
        raise NotFound(f"Properties have no prefix on resource type {resource_type}.")
    if not name.startswith(prefix):
        raise NotFound(
            f"Property {name} does not begin with the prefix of resource type {resource_type}: '{prefix}'."
        )
    return name.removeprefix(prefix)
