"""The schemas of requests and responses about metadata definitions, by the names that operations use."""

from typing import Any, Final

import msgspec

from tintype.api.json_schema import STRING, Schema, list_of, record, ref
from tintype.api.metadef_schemas import every_metadef_schema
from tintype.domain import metadef_documents as documents

_BODIES: Final = (documents.NamespaceBody, documents.DefinitionBody, documents.TagsBody)
_SHARED: Final = "#/components/schemas/"


def metadef_components() -> dict[str, Schema]:
    """Return the published schemas, and those of request bodies from the types that parse them."""
    published = every_metadef_schema()
    shared = dict(published["namespace"]["definitions"])
    shared["definitions"] = shared.pop("property")
    named = {"namespace", "property", "object", "tag", "resource_type"}
    items = {
        name: {"type": "object"} | {key: schema[key] for key in ("properties", "required")}
        for name, schema in published.items()
        if name in named
    }
    items["namespace"]["properties"] = items["namespace"]["properties"] | {"objects": list_of(ref("object"))}
    by_name = {"type": "object", "additionalProperties": items["property"] | {"required": ["title", "type"]}}
    stamped = record(
        {name: items["tag"]["properties"][name] for name in ("name", "created_at", "updated_at")}
    )
    responses = {
        **items,
        "namespaces": record(
            {"namespaces": list_of(ref("namespace")), "first": STRING, "schema": STRING}, {"next": STRING}
        ),
        "properties": record({"properties": by_name}),
        "objects": record({"objects": list_of(ref("object")), "schema": STRING}),
        "tag": stamped,
        "tags": record({"tags": list_of(record({"name": STRING}))}),
        "resource_types": record({"resource_types": list_of(stamped)}),
        "resource_type_associations": record({"resource_type_associations": list_of(ref("resource_type"))}),
    }
    return {name: _shared(schema) for name, schema in (responses | shared | _bodies()).items()}


def _bodies() -> dict[str, Schema]:
    _, bodies = msgspec.json.schema_components(_BODIES, ref_template=f"{_SHARED}{{name}}")
    for name in (
        "NamespaceBody",
        "ObjectBody",
    ):  # definitions are kept as they are given, so they have no type
        bodies[name]["properties"]["properties"]["additionalProperties"] = ref("DefinitionBody")
    definition = bodies["DefinitionBody"]
    for body in (definition, bodies["ObjectBody"]):
        body["properties"]["required"]["uniqueItems"] = True
    kept = {name: each for name, each in definition["properties"].items() if name != "confidential"}
    bodies["PropertyBody"] = definition | {
        "title": "PropertyBody",
        "properties": kept,
        "required": ["name", "title", "type"],
    }
    return bodies


def _shared(value: Any) -> Any:
    """Return a schema for the document: with its references and ECMAScript's patterns, without `regex`.

    Like Glance, the service takes any text for the pattern of a definition.
    """
    if isinstance(value, dict):
        pairs = (pair for pair in value.items() if pair != ("format", "regex"))
        return {name: _shared(each) for name, each in pairs}
    if isinstance(value, list):
        return [_shared(each) for each in value]
    if isinstance(value, str):
        by_name = value.replace("#/definitions/property", f"{_SHARED}definitions")
        return by_name.replace("#/definitions/", _SHARED).replace("\\Z", "$")
    return value
