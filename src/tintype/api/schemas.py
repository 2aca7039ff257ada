"""The JSON schemas that the image API publishes; clients build their models from them."""

from typing import Any, Final

from tintype.domain.images import NAME_LIMIT, STATUSES, VISIBILITIES, Limits
from tintype.domain.members import STATUSES as MEMBER_STATUSES

_UUID: Final = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_STRING: Final = "string"
_NULLABLE: Final = ["null", "string"]
_NULLABLE_INTEGER: Final = ["null", "integer"]
_NULLABLE_OBJECT: Final = ["null", "object"]


def every_schema(limits: Limits) -> dict[str, dict[str, Any]]:
    """Return the schemas by their names in URLs."""
    image = _image(limits)
    member = {"name": "member", "properties": _MEMBER}
    task = {"name": "task", "properties": _TASK}
    short_task = {name: value for name, value in _TASK.items() if name not in {"input", "result", "message"}}
    return {
        "image": image,
        "images": _collection("images", image, paged=True),
        "member": member,
        "members": _collection("members", member, paged=False),
        "task": task,
        "tasks": _collection("tasks", {"name": "task", "properties": short_task}, paged=False),
    }


def _collection(name: str, item: dict[str, Any], *, paged: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "array", "items": item}, "schema": {"type": _STRING}}
    links = [{"rel": "describedby", "href": "{schema}"}]
    if paged:
        properties |= {"first": {"type": _STRING}, "next": {"type": _STRING}}
        links[:0] = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}]
    return {"name": name, "properties": properties, "links": links}


def _field(
    type_: str | list[str], description: str, *, read_only: bool = False, **rest: Any
) -> dict[str, Any]:
    field: dict[str, Any] = {"type": type_, "description": description, **rest}
    if read_only:
        field["readOnly"] = True
    return field


def _image(limits: Limits) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "name": "image",
        "properties": {
            "id": _field(_STRING, "An identifier for the image", pattern=_UUID),
            "name": _field(_NULLABLE, "Name of the image, for people", maxLength=NAME_LIMIT),
            "status": _field(_STRING, "What state the image is in", read_only=True, enum=list(STATUSES)),
            "visibility": _field(_STRING, "Who may see the image", enum=list(VISIBILITIES)),
            "protected": _field("boolean", "Whether the image is safe from deletion"),
            "os_hidden": _field("boolean", "Whether lists leave the image out unless asked for it"),
            "checksum": _field(_NULLABLE, "MD5 digest of the data, in hex", read_only=True, maxLength=32),
            "os_hash_algo": _field(_NULLABLE, "Algorithm of os_hash_value", read_only=True, maxLength=64),
            "os_hash_value": _field(_NULLABLE, "Digest of the data, in hex", read_only=True, maxLength=128),
            "owner": _field(_NULLABLE, "Project that the image belongs to", maxLength=NAME_LIMIT),
            "size": _field(_NULLABLE_INTEGER, "Bytes of data", read_only=True),
            "virtual_size": _field(_NULLABLE_INTEGER, "Bytes of the disk inside the data", read_only=True),
            "container_format": _field(
                _NULLABLE, "What the disk is wrapped in", enum=[None, *limits.container_formats]
            ),
            "disk_format": _field(_NULLABLE, "Format of the disk", enum=[None, *limits.disk_formats]),
            "created_at": _field(_STRING, "When the image was registered", read_only=True),
            "updated_at": _field(_STRING, "When the image was changed last", read_only=True),
            "tags": _field(
                "array",
                "Words that the image can be found by",
                items={"type": _STRING, "maxLength": NAME_LIMIT},
            ),
            "direct_url": _field(_STRING, "Where the data is kept", read_only=True),
            "min_ram": _field("integer", "MiB of memory that a server needs to boot the image"),
            "min_disk": _field("integer", "GiB of disk that a server needs to boot the image"),
            "self": _field(_STRING, "Address of the image", read_only=True),
            "file": _field(_STRING, "Address of the data", read_only=True),
            "stores": _field(_STRING, "Stores that hold the data, separated by commas", read_only=True),
            "schema": _field(_STRING, "Address of this schema", read_only=True),
            "locations": _LOCATIONS,
        },
        "additionalProperties": {"type": _STRING},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
    if limits.schema is not None:
        schema["properties"] |= limits.schema.definitions
        if limits.schema.required:
            schema["required"] = list(limits.schema.required)
    return schema


_LOCATIONS: Final[dict[str, Any]] = _field(
    "array",
    "Where the data is kept",
    items={
        "type": "object",
        "properties": {
            "url": {"type": _STRING, "maxLength": NAME_LIMIT},
            "metadata": {"type": "object"},
            "validation_data": {
                "description": "Digests that the data is known to have",
                "type": "object",
                "writeOnly": True,
                "additionalProperties": False,
                "properties": {
                    "checksum": {"type": _STRING, "minLength": 32, "maxLength": 32},
                    "os_hash_algo": {"type": _STRING, "maxLength": 64},
                    "os_hash_value": {"type": _STRING, "maxLength": 128},
                },
                "required": ["os_hash_algo", "os_hash_value"],
            },
        },
        "required": ["url", "metadata"],
    },
)

_MEMBER: Final[dict[str, Any]] = {
    "member_id": _field(_STRING, "The project that the image is shared with"),
    "image_id": _field(_STRING, "An identifier for the image", pattern=_UUID),
    "created_at": _field(_STRING, "When the image was shared"),
    "updated_at": _field(_STRING, "When the member answered last"),
    "status": _field(_STRING, "The member's answer", enum=list(MEMBER_STATUSES)),
    "schema": {"readOnly": True, "type": _STRING},
}

_TASK: Final[dict[str, Any]] = {
    "id": _field(_STRING, "An identifier for the task", pattern=_UUID),
    "type": _field(_STRING, "What the task does", enum=["import", "api_image_import", "location_import"]),
    "status": _field(_STRING, "How far the task is", enum=["pending", "processing", "success", "failure"]),
    "input": _field(_NULLABLE_OBJECT, "What the task was given"),
    "result": _field(_NULLABLE_OBJECT, "What the task made"),
    "owner": _field(_STRING, "Project that the task belongs to"),
    "message": _field(_STRING, "What happened, for people; most of all on failure"),
    "image_id": _field(_STRING, "The image that the task is about"),
    "request_id": _field(_STRING, "The request that began the task"),
    "user_id": _field(_STRING, "Who began the task"),
    "expires_at": _field(_NULLABLE, "When the task's record is deleted"),
    "created_at": _field(_STRING, "When the task was made"),
    "updated_at": _field(_STRING, "When the task was changed last"),
    "self": {"readOnly": True, "type": _STRING},
    "schema": {"readOnly": True, "type": _STRING},
}
