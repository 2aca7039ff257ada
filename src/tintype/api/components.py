"""The schemas of requests and responses of the image API, by the names that operations use."""

from typing import Any, Final

from tintype.api import schemas
from tintype.api.json_schema import (
    COUNT,
    FLAG,
    NULLABLE,
    NUMBER,
    OBJECT,
    STRING,
    UUID,
    Schema,
    list_of,
    one_of,
    open_record,
    record,
    ref,
    text,
)
from tintype.domain import imports, tasks
from tintype.domain.addresses import LONGEST
from tintype.domain.images import INTEGER_LIMIT, NAME_LIMIT, PROPERTY_VALUE_LIMIT, VISIBILITIES, Limits
from tintype.domain.members import STATUSES
from tintype.domain.quotas import NAMES

_BASE: Final = (
    *("name", "disk_format", "container_format", "visibility", "size", "virtual_size", "status", "checksum"),
    *("protected", "min_ram", "min_disk", "owner", "os_hidden", "os_hash_algo", "os_hash_value", "id"),
    *("created_at", "updated_at", "tags", "self", "file", "schema"),
)
"""What every image has."""
_LOCATION: Final = record({"url": STRING, "metadata": OBJECT}, {"validation_data": OBJECT})
_POINTER: Final = {"type": "string", "pattern": "^/", "description": "JSON pointer of an attribute"}


_DIGESTS: Final = {"md5": 32, "sha256": 64, "sha512": 128}


def _digest(algorithm: str, digits: int) -> Schema:
    hexadecimal = {"type": "string", "pattern": f"^[0-9a-fA-F]{{{digits}}}$"}
    return record({"algo": one_of(algorithm), "value": hexadecimal})


def image_components(limits: Limits) -> dict[str, Schema]:
    """Return the schemas of the image API; what the operator has set shows in those of images."""
    published = schemas.every_schema(limits)
    return {
        "error": record(
            {"error": record({"code": COUNT, "title": STRING, "message": STRING, "request_id": STRING})}
        ),
        "image": _image(published["image"]["properties"]),
        "images": record(
            {"images": list_of(ref("image")), "first": STRING, "schema": STRING}, {"next": STRING}
        ),
        "new_image": _new_image(limits),
        **_PATCHES,
        "member": record(published["member"]["properties"]),
        "members": record({"members": list_of(ref("member")), "schema": STRING}),
        "new_member": open_record({"member": text(NAME_LIMIT, least=1) | {"pattern": r"^[^\x00]*$"}}),
        "member_status": open_record({"status": one_of(*STATUSES)}),
        **_tasks(published["task"]["properties"]),
        **_IMPORTS,
        **_DISCOVERY,
        **_CACHE,
        "locations": list_of(_LOCATION),
        "uploads": record({"uploads": list_of(_UPLOAD)}),
    }


def _image(published: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": {name: published[name] for name in _BASE}
        | {"stores": STRING, "direct_url": STRING, "locations": list_of(_LOCATION)},
        "additionalProperties": STRING,
        "required": list(_BASE),
    }


def _new_image(limits: Limits) -> Schema:
    number = COUNT | {"maximum": INTEGER_LIMIT}
    return {
        "type": "object",
        "properties": {
            "id": UUID,
            "name": text(NAME_LIMIT, nullable=True),
            "owner": text(NAME_LIMIT, nullable=True),
            "visibility": one_of(*VISIBILITIES),
            "protected": FLAG,
            "os_hidden": FLAG,
            "container_format": one_of(None, *limits.container_formats),
            "disk_format": one_of(None, *limits.disk_formats),
            "min_ram": number,
            "min_disk": number,
            "tags": list_of(text(NAME_LIMIT)),
            **({} if limits.schema is None else limits.schema.definitions),
        },
        "additionalProperties": text(PROPERTY_VALUE_LIMIT),
        "propertyNames": {"minLength": 1, "maxLength": NAME_LIMIT},
    }


_PATCHES: Final[dict[str, Schema]] = {
    "patch": list_of(
        {
            "oneOf": [
                open_record({"op": one_of("add", "replace"), "path": _POINTER, "value": {}}),
                open_record({"op": one_of("remove"), "path": _POINTER}),
            ]
        }
    ),
    "patch_draft4": list_of(
        {
            "oneOf": [
                record({"add": _POINTER, "value": {}}),
                record({"replace": _POINTER, "value": {}}),
                record({"remove": _POINTER}),
            ]
        }
    ),
}
_IMPORTS: Final[dict[str, Schema]] = {
    "import": open_record(
        {
            "method": open_record(
                {"name": one_of(*imports.METHODS)},
                {
                    "uri": text(LONGEST, nullable=True),
                    "expected_hash": {"oneOf": [_digest(name, size) for name, size in _DIGESTS.items()]},
                    "glance_region": NULLABLE,
                    "glance_image_id": NULLABLE,
                    "glance_service_interface": NULLABLE,
                },
            )
        },
        {
            "stores": list_of(text(255)) | {"minItems": 1, "maxItems": 255},
            "all_stores": FLAG,
            "all_stores_must_succeed": FLAG,
        },
    ),
    "location": record(
        {"url": text(LONGEST, least=1)},
        {
            "metadata": {"type": ["object", "null"]},
            "validation_data": record(
                {"os_hash_algo": STRING, "os_hash_value": STRING}, {"checksum": STRING}
            ),
        },
    ),
    "new_task": open_record(
        {
            "type": one_of(tasks.LEGACY_IMPORT),
            "input": open_record(
                {"import_from": STRING, "import_from_format": STRING, "image_properties": OBJECT}
            ),
        }
    ),
}
_UPLOAD: Final = record(
    {
        "id": UUID,
        "image_id": UUID,
        "length": COUNT,
        "offset": COUNT,
        "metadata": STRING,
        "expires_at": STRING,
        "self": STRING,
    }
)
_STORE: Final[dict[str, Schema]] = {"description": STRING, "default": STRING, "read-only": STRING}
_LINKS: Final = list_of(record({"rel": STRING, "href": STRING}))
_DISCOVERY: Final[dict[str, Schema]] = {
    "versions": record(
        {
            "versions": list_of(
                record({"id": STRING, "status": one_of("CURRENT", "SUPPORTED"), "links": _LINKS})
            )
        }
    ),
    "json_schema": OBJECT,
    "import_methods": record(
        {"import-methods": record({"description": STRING, "type": STRING, "value": list_of(STRING)})}
    ),
    "stores": record({"stores": list_of(record({"id": STRING}, _STORE))}),
    "stores_detail": record(
        {
            "stores": list_of(
                record(
                    {"id": STRING, "type": STRING, "weight": {"type": "integer"}, "properties": OBJECT},
                    _STORE,
                )
            )
        }
    ),
    "usage": record(
        {
            "usage": record(
                dict.fromkeys(NAMES, record({"usage": COUNT, "limit": {"type": "integer", "minimum": -1}}))
            )
        }
    ),
    "health": record(
        {
            "parts": {
                "type": "object",
                "additionalProperties": record({"ok": FLAG, "ms": NUMBER}, {"reason": STRING}),
            }
        }
    ),
}
_CACHED: Final = list_of(
    record(
        {
            "image_id": UUID,
            "size": COUNT,
            "hits": COUNT,
            "checksum": STRING,
            "last_accessed": NUMBER,
            "last_modified": NUMBER,
        }
    )
)
_CACHE: Final[dict[str, Schema]] = {
    "cache": record({"cached_images": _CACHED, "queued_images": list_of(UUID)}),
    "cached_images": record({"cached_images": _CACHED}),
    "queued_images": record({"queued_images": list_of(UUID)}),
    "pruned": record({"total_files_pruned": COUNT, "total_bytes_pruned": COUNT}),
    "deleted_count": record({"num_deleted": COUNT}),
    "nodes": list_of(STRING),
    "nothing": {"type": "null"},
}


def _tasks(fields: dict[str, Any]) -> dict[str, Schema]:
    def these(*names: str) -> dict[str, Schema]:
        return {name: fields[name] for name in names}

    short = these("id", "type", "status", "owner", "created_at", "updated_at")
    expiry, links = these("expires_at"), these("self", "schema")
    about = ("image_id", "request_id", "user_id")
    listed = (
        short
        | these("input", "result", "message", "expires_at")
        | dict.fromkeys(about, NULLABLE)
        | {"deleted": {"const": False}, "deleted_at": {"type": "null"}}
    )
    return {
        "task": record(short | links | these("input", "message", "result"), these(*about) | expiry),
        "tasks": record(
            {"tasks": list_of(record(short | links, expiry)), "first": STRING, "schema": STRING},
            {"next": STRING},
        ),
        "image_tasks": record({"tasks": list_of(record(listed))}),
    }
