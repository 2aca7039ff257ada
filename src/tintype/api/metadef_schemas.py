"""The JSON schemas of metadata definitions that the image API publishes, under `/v2/schemas/metadefs`."""

from collections.abc import Mapping
from typing import Any, Final

from tintype.domain.metadefs import DESCRIPTION_LIMIT, NAME_LIMIT, OWNER_LIMIT, TYPES, VISIBILITIES

Schema = dict[str, Any]

_STRING: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "maxLength": NAME_LIMIT}
_LINK: Final[Schema] = {"readOnly": True, "type": "string"}
_COUNT: Final[Schema] = {"$ref": "#/definitions/positiveInteger"}
_COUNT_OR_0: Final[Schema] = {"$ref": "#/definitions/positiveIntegerDefault0"}
_STRINGS: Final[Schema] = {"$ref": "#/definitions/stringArray"}
_PROPERTIES: Final[Schema] = {"$ref": "#/definitions/property"}
_TYPE: Final[Schema] = {"type": "string", "enum": [*TYPES, None]}


def _text(description: str, limit: int) -> Schema:
    return {"type": "string", "description": description, "maxLength": limit}


def _times(thing: str) -> Schema:
    rest = {"type": "string", "readOnly": True, "format": "date-time"}
    return {
        "created_at": {**rest, "description": f"When the {thing} was made"},
        "updated_at": {**rest, "description": f"When the {thing} was changed last"},
    }


_DEFINITION: Final[Schema] = {
    "name": _NAME,
    "title": _STRING,
    "description": _STRING,
    "operators": {"type": "array", "items": _STRING},
    "type": _TYPE,
    "required": _STRINGS,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _COUNT,
    "minLength": _COUNT_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {"type": "object", "properties": {"type": _TYPE, "enum": {"type": "array"}}},
    "maxItems": _COUNT,
    "minItems": _COUNT_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}
_NUMBERS: Final[Schema] = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [_COUNT, {"default": 0}]},
}
_UNIQUE: Final[Schema] = {"type": "array", "items": _STRING, "uniqueItems": True}
_DEFINITIONS: Final[Schema] = {
    **_NUMBERS,
    "stringArray": _UNIQUE,
    "property": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "type"],
            "properties": _DEFINITION,
        },
    },
}
_NAMESPACE: Final[Schema] = {
    "namespace": _text("Name of the namespace; no other has it", NAME_LIMIT),
    "display_name": _text("Name of the namespace, for people", NAME_LIMIT),
    "description": _text("What the namespace is about", DESCRIPTION_LIMIT),
    "visibility": {**_STRING, "description": "Who may see the namespace", "enum": [*VISIBILITIES]},
    "protected": {"type": "boolean", "description": "Whether nothing of the namespace may be deleted"},
    "owner": _text("Project that the namespace belongs to", OWNER_LIMIT),
    **_times("namespace"),
    "schema": _LINK,
    "self": _LINK,
    "resource_type_associations": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": _STRING, "prefix": _STRING, "properties_target": _STRING},
        },
    },
    "properties": _PROPERTIES,
    "objects": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": _STRING,
                "description": _STRING,
                "required": _STRINGS,
                "properties": _PROPERTIES,
            },
        },
    },
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _STRING}}},
}
_OBJECT: Final[Schema] = {
    "name": _NAME,
    "description": _STRING,
    "required": _STRINGS,
    "properties": _PROPERTIES,
    "schema": _LINK,
    "self": _LINK,
    **_times("object"),
}
_ASSOCIATION: Final[Schema] = {
    "name": _text("Type of resource, as Heat names it where Heat has it", NAME_LIMIT),
    "prefix": _text(
        "What the names of properties begin with on resources of this type, a separator included", NAME_LIMIT
    ),
    "properties_target": _text(
        "Which properties of the resource are meant, where it has several kinds: of a volume, for example, "
        "its own or those of its image",
        NAME_LIMIT,
    ),
    **_times("association"),
}
_TAG: Final[Schema] = {"name": _NAME, **_times("tag")}


def every_metadef_schema() -> dict[str, Schema]:
    """Return the schemas by their names in URLs."""
    namespace = _item("namespace", _NAMESPACE, ["namespace"])
    definition = _item("property", _DEFINITION, ["type", "title"])
    named = definition | {"required": ["type", "title", "name"]}
    shown = _item("object", _OBJECT, ["name"])
    association = _item("resource_type_association", _ASSOCIATION, ["name"])
    tag = _item("tag", _TAG, ["name"])
    of_properties = {"definitions": {**_NUMBERS, "stringArray": {**_UNIQUE, "minItems": 1}}}
    whole = {"definitions": _DEFINITIONS}
    by_name = {"type": "object", "additionalProperties": definition}
    return {
        "namespace": namespace | whole,
        "namespaces": _collection("namespaces", _list_of(namespace)) | whole,
        "resource_type": association,
        "resource_types": _collection("resource_type_associations", _list_of(association)),
        "property": named | of_properties,
        "properties": _collection("properties", by_name) | of_properties,
        "object": shown | whole,
        "objects": _collection("objects", _list_of(shown)) | whole,
        "tag": tag,
        "tags": _collection("tags", _list_of(tag)),
    }


def _item(name: str, properties: Mapping[str, Any], required: list[str]) -> Schema:
    return {"name": name, "properties": properties, "additionalProperties": False, "required": required}


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _collection(name: str, items: Schema) -> Schema:
    return {
        "name": name,
        "properties": {name: items, "first": _STRING, "next": _STRING, "schema": _STRING},
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
