"""Documents of metadata definitions, in requests and files; the format is Glance's."""

import hashlib
from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from tintype.domain.metadefs import (
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    OWNER_LIMIT,
    PRIVATE,
    VISIBILITIES,
    Association,
    Definition,
    Listing,
    Namespace,
    Object,
    Tag,
)
from tintype.domain.query import page_limit
from tintype.errors import Conflict, Forbidden, Invalid

OWNER: Final = "admin"
"""Owner of a namespace whose file names none, as in Glance."""
_MOST_TYPES: Final = 1000
_DEEPEST: Final = 32
_COUNTS: Final = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_BIGGEST: Final = 2**31 - 1
_READ_ONLY: Final = ("self", "schema", "created_at", "updated_at")
_NO_NUL: Final = r"^[^\x00]*$"
Text = Annotated[str, Meta(pattern=_NO_NUL)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Short = Annotated[str, Meta(max_length=NAME_LIMIT, pattern=_NO_NUL)]
Count = Annotated[int, Meta(ge=0)]
Type = Literal["array", "boolean", "integer", "number", "object", "string"]
T = TypeVar("T")


class Items(msgspec.Struct, forbid_unknown_fields=True):
    """The elements of a definition of type array."""

    type: Type | UnsetType = UNSET
    enum: list[Any] = []


class DefinitionBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The schema of a definition."""

    title: Text
    type: Type
    name: Name | UnsetType = UNSET
    description: Text = ""
    operators: list[Text] = []
    required: list[Text] = []
    minimum: float = 0
    maximum: float = 0
    max_length: Count = 0
    min_length: Count = 0
    pattern: Text = ""
    enum: list[Any] = []
    readonly: bool = False
    confidential: bool = False
    default: Any = None
    items: Items | UnsetType = UNSET
    max_items: Count = 0
    min_items: Count = 0
    unique_items: bool = False
    additional_items: bool = False


class AssociationBody(msgspec.Struct, forbid_unknown_fields=True):
    """An association in a document."""

    name: Name
    prefix: Short | UnsetType = UNSET
    properties_target: Short | UnsetType = UNSET


class ObjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """An object in a document."""

    name: Name
    description: Text | UnsetType = UNSET
    required: list[Name] = []
    properties: dict[Name, Definition] = {}


class TagBody(msgspec.Struct, forbid_unknown_fields=True):
    """A tag in a document."""

    name: Name


class TagsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Tags in a document."""

    tags: list[TagBody]


class NamespaceBody(msgspec.Struct, forbid_unknown_fields=True):
    """A namespace in a request, or in a file in Glance's format."""

    namespace: Name
    display_name: Short | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=DESCRIPTION_LIMIT, pattern=_NO_NUL)] | UnsetType = UNSET
    visibility: Literal["public", "private"] | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    owner: Annotated[str, Meta(max_length=OWNER_LIMIT, pattern=_NO_NUL)] | UnsetType = UNSET
    resource_type_associations: list[AssociationBody] = []
    properties: dict[Name, Definition] = {}
    objects: list[ObjectBody] = []
    tags: list[TagBody] = []


def checked(body: Any, kind: type[T]) -> T:
    """Parse a request body. Raises Invalid, and Forbidden for read-only attributes."""
    _check_writable(body)
    _check_depth(body, _DEEPEST)
    try:
        value = msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{error}.") from None
    if isinstance(value, NamespaceBody | ObjectBody):
        objects = value.objects if isinstance(value, NamespaceBody) else [value]
        groups = [value.properties, *(each.properties for each in objects)]
        for name, definition in (pair for group in groups for pair in group.items()):
            _check_definition(name, definition)
        for each in objects:
            if len(set(each.required)) < len(each.required):
                raise Invalid(f"Object '{each.name}' names a required property twice.")
    return value


def checked_property(body: Any) -> tuple[str, Definition]:
    """Parse a property in a request body: return its name and its definition, name included."""
    _check_writable(body)
    named = checked({"name": body["name"]} if "name" in body else {}, TagBody)
    if "confidential" in body:
        raise Invalid("Object contains unknown field `confidential`.")
    _check_depth(body, _DEEPEST)
    _check_definition(named.name, body)
    return named.name, body


def _check_writable(body: Any) -> None:
    if not isinstance(body, dict):
        raise Invalid("Expected a JSON object.")
    for name in _READ_ONLY:
        if name in body:
            raise Forbidden(f"Attribute '{name}' is read-only.")


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, dict | list):
        if not left:
            raise Invalid(f"The JSON is nested deeper than {_DEEPEST} levels.")
        for each in value.values() if isinstance(value, dict) else value:
            _check_depth(each, left - 1)


def _check_definition(name: str, definition: Definition) -> None:
    """Raise Invalid for a malformed definition; convert lengths such as 5.0 to integers."""
    for count in _COUNTS & definition.keys():
        if isinstance(value := definition[count], float) and value.is_integer():
            definition[count] = int(value)
    try:
        body = msgspec.convert(definition, DefinitionBody)
    except msgspec.ValidationError as error:
        raise Invalid(f"Property '{name}': {error}.") from None
    if len(set(body.required)) < len(body.required):
        raise Invalid(f"Property '{name}' names a required property twice.")


def new_namespace(body: NamespaceBody, *, namespace_id: str, owner: str | None, now: int) -> Namespace:
    """Return the namespace of a document. Raises Conflict for duplicate names in it."""
    return _described(
        Namespace(
            id=namespace_id,
            namespace=body.namespace,
            created_at=now,
            updated_at=now,
            properties=dict(body.properties),
            objects=_by_name(body.namespace, (new_object(each, now) for each in body.objects)),
            tags=_by_name(body.namespace, (Tag(each.name, now, now) for each in body.tags)),
            associations=_by_name(
                body.namespace, (new_association(each, now) for each in body.resource_type_associations)
            ),
        ),
        body,
        owner,
    )


def filled(new: Namespace, body: NamespaceBody, old: Namespace) -> Namespace:
    """Return a new namespace, with attributes that the document leaves out taken from the old one."""
    return replace(
        new,
        visibility=old.visibility if body.visibility is UNSET else new.visibility,
        protected=old.protected if body.protected is UNSET else new.protected,
    )


def described(namespace: Namespace, body: NamespaceBody, *, owner: str | None, now: int) -> Namespace:
    """Replace all attributes of a namespace; those that are left out are reset. Its contents stay."""
    return _described(replace(namespace, updated_at=now), body, owner)


def _described(namespace: Namespace, body: NamespaceBody, owner: str | None) -> Namespace:
    return replace(
        namespace,
        namespace=body.namespace,
        display_name=_said(body.display_name),
        description=_said(body.description),
        visibility=body.visibility or PRIVATE,
        protected=body.protected or False,
        owner=owner if body.owner is UNSET else body.owner,
    )


def new_object(body: ObjectBody, now: int) -> Object:
    """Return the object of a document."""
    return Object(body.name, now, now, _said(body.description), tuple(body.required), body.properties)


def new_association(body: AssociationBody, now: int) -> Association:
    """Return the association of a document."""
    return Association(body.name, now, now, _said(body.prefix), _said(body.properties_target))


def _said(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text


def _by_name(namespace: str, found: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for each in found:
        if each.name in named:
            raise Conflict(f"'{each.name}' occurs twice in namespace={namespace}.")
        named[each.name] = each
    return named


def from_file(value: Any) -> NamespaceBody:
    """Parse the contents of a file. Raises Invalid.

    Read-only attributes and nulls, which Glance's responses have, are ignored.
    """
    body = _written(value)
    if isinstance(body, dict):
        for name in ("objects", "resource_type_associations"):
            if isinstance(body.get(name), list):
                body[name] = [_written(each) for each in body[name]]
    return checked(body, NamespaceBody)


def _written(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if each is not None and name not in _READ_ONLY}


def document(namespace: Namespace) -> dict[str, Any]:
    """Return the document of a namespace, as for a file."""
    said = {
        "namespace": namespace.namespace,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "owner": None if namespace.owner == OWNER else namespace.owner,
        "resource_type_associations": [
            _written({"name": each.name, "prefix": each.prefix, "properties_target": each.properties_target})
            for each in namespace.associations.values()
        ],
        "properties": namespace.properties,
        "objects": [_object(each) for each in namespace.objects.values()],
        "tags": [{"name": each} for each in namespace.tags],
    }
    return {name: value for name, value in said.items() if value not in (None, [], {})}


def _object(written: Object) -> dict[str, Any]:
    rest = {"required": list(written.required), "properties": written.properties}
    return {"name": written.name, **_written({"description": written.description}), **rest}


def digest(namespace: Namespace) -> str:
    """Return a hash of a namespace's document that does not depend on the order of its contents."""
    whole = document(namespace)
    for name in ("resource_type_associations", "objects", "tags"):
        whole[name] = {each["name"]: each for each in whole.get(name, ())}
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()


def listing(asked: Mapping[str, str], sort_keys: Container[str]) -> Listing:
    """Parse the query of a list request. Raises Invalid."""
    direction, sort_key = asked.get("sort_dir", "desc"), asked.get("sort_key", "created_at")
    if direction not in {"asc", "desc"}:
        raise Invalid(f"Invalid sort direction: {direction}")
    if sort_key not in sort_keys:
        raise Invalid(f"Invalid sort key: {sort_key}")
    visibility = asked.get("visibility")
    if visibility and visibility not in VISIBILITIES:
        raise Invalid(f"Invalid visibility value: {visibility}")
    return Listing(
        page_limit(asked["limit"], _BIGGEST, _BIGGEST) if asked.get("limit") else None,
        asked.get("marker"),
        sort_key,
        direction == "asc",
        visibility,
        _types(asked["resource_types"]) if "resource_types" in asked else None,
    )


def _types(text: str) -> tuple[str, ...]:
    types = tuple(dict.fromkeys(text.split(",")))
    if len(types) > _MOST_TYPES:
        raise Invalid(f"At most {_MOST_TYPES} resource types can be requested.")
    return types
