"""Typed results of an image service. Sizes are in bytes, times in UTC."""

from datetime import datetime
from typing import Any, ClassVar

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all records, which are immutable."""


class Image(Record, frozen=True, kw_only=True):
    """An image. Attributes beyond those of the API are in `properties`."""

    id: str
    name: str | None = None
    status: str = ""
    """queued, saving, uploading, importing, active, deactivated, killed, deleted, pending_delete."""
    visibility: str = "private"
    """private, shared, community or public."""
    owner: str | None = None
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    min_disk: int = 0
    """In GiB."""
    min_ram: int = 0
    """In MiB."""
    checksum: str | None = None
    """The md5 in hex."""
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tags: list[str] = []
    stores: list[str] = []
    locations: list[dict[str, Any]] | None = None
    """None if the server does not show them."""
    direct_url: str | None = None
    file: str | None = None
    properties: dict[str, Any] = {}

    _LINKS: ClassVar[frozenset[str]] = frozenset({"self", "schema"})

    @classmethod
    def shape(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Move attributes beyond those of the API to `properties`, and split the list of stores."""
        known = {name: value[name] for name in cls.__struct_fields__ if name in value}
        known["properties"] = {
            name: each for name, each in value.items() if name not in known and name not in cls._LINKS
        }
        if isinstance(known.get("stores"), str):
            known["stores"] = [store for store in known["stores"].split(",") if store]
        return known


class Project(Record, frozen=True, kw_only=True):
    """A project, as the identity service knows it."""

    id: str
    name: str = ""
    domain_id: str | None = None


class Member(Record, frozen=True, kw_only=True):
    """A project that an image is shared with. `status` is pending, accepted or rejected."""

    member_id: str
    image_id: str = ""
    status: str = "pending"
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Task(Record, frozen=True, kw_only=True):
    """A task on the server, such as an import. `status` is pending, processing, success or failure."""

    id: str
    type: str = ""
    status: str = ""
    owner: str | None = None
    message: str | None = None
    input: Any = None
    result: Any = None
    """For a running task of a Tintype: `bytes` and `bytes_total`."""
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Store(Record, frozen=True, kw_only=True):
    """A store of image data. Only operators see `properties` and `weight`."""

    id: str
    description: str | None = None
    type: str | None = None
    default: bool = False
    read_only: bool = msgspec.field(default=False, name="read-only")
    weight: int | None = None
    properties: dict[str, Any] = {}


class Location(Record, frozen=True, kw_only=True):
    """A location of an image's data."""

    url: str
    metadata: dict[str, Any] = {}


class Quota(Record, frozen=True, kw_only=True):
    """A project's usage and limit of a resource; -1 means no limit."""

    usage: int
    limit: int


class Cached(Record, frozen=True, kw_only=True):
    """An image in a node's cache. Times are seconds since the epoch; 0 means never."""

    image_id: str
    size: int = 0
    hits: int = 0
    checksum: str | None = None
    last_accessed: float = 0
    last_modified: float = 0


class CacheState(Record, frozen=True, kw_only=True):
    """The cached and the queued images of a node."""

    cached_images: list[Cached] = []
    queued_images: list[str] = []


class Pruned(Record, frozen=True, kw_only=True):
    """The number of images and bytes evicted from a cache."""

    total_files_pruned: int = 0
    total_bytes_pruned: int = 0


class Version(Record, frozen=True, kw_only=True):
    """A version of the API; `status` is CURRENT, SUPPORTED or EXPERIMENTAL."""

    id: str
    status: str
    links: list[dict[str, str]] = []


class Upload(Record, frozen=True, kw_only=True):
    """A resumable upload of a Tintype."""

    id: str
    image_id: str
    length: int
    offset: int
    metadata: str = ""
    expires_at: datetime | None = None


class Association(Record, frozen=True, kw_only=True):
    """A resource type associated with a namespace."""

    name: str
    prefix: str | None = None
    properties_target: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class MetadefTag(Record, frozen=True, kw_only=True):
    """A tag of a namespace."""

    name: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


class MetadefObject(Record, frozen=True, kw_only=True):
    """A group of properties: JSON schemas by name."""

    name: str
    description: str | None = None
    required: list[str] = []
    properties: dict[str, dict[str, Any]] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Namespace(Record, frozen=True, kw_only=True):
    """A namespace of metadata definitions; lists do not include its contents."""

    namespace: str
    display_name: str | None = None
    description: str | None = None
    visibility: str = "private"
    protected: bool = False
    owner: str | None = None
    properties: dict[str, dict[str, Any]] = {}
    objects: list[MetadefObject] = []
    tags: list[MetadefTag] = []
    resource_type_associations: list[Association] = []
    created_at: datetime | None = None
    updated_at: datetime | None = None
