"""Short forms for the JSON schemas of the API's document."""

from typing import Any, Final

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
NULLABLE: Final[Schema] = {"type": ["string", "null"]}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}
UUID: Final[Schema] = {"type": "string", "format": "uuid"}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has these names and no others."""
    return open_record(required, optional) | {"additionalProperties": False}


def open_record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that may have other names besides."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def list_of(item: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": item}


def one_of(*values: str | None) -> Schema:
    """Return the schema of a value that is one of these."""
    return {"enum": list(values)}


def text(limit: int, *, least: int = 0, nullable: bool = False) -> Schema:
    """Return the schema of a string of at most `limit` characters."""
    return {"type": ["string", "null"] if nullable else "string", "minLength": least, "maxLength": limit}


def ref(name: str) -> Schema:
    """Return a reference to a shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}
