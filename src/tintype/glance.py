"""Reading of a Glance installation: its configuration, its database, and the locations of its bytes.

Glance defines the option names of `glance-api.conf`, the tables of its schema (2024.1 and later), and the
forms of location URLs of its store drivers.
"""

import asyncio
import configparser
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from sqlalchemy import Connection, MetaData, Table, create_engine, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tintype.domain.metadefs import PRIVATE, Association, Namespace, Object, Tag
from tintype.errors import StartError
from tintype.extras import missing

_BATCH: Final = 500
_TABLES: Final = ("images", "image_properties", "image_tags", "image_members", "image_locations")
_FILES: Final = ("file", "filesystem")
T = TypeVar("T")


class Location(msgspec.Struct, frozen=True):
    """A copy of an image's bytes: `value` is a URL as Glance writes it."""

    value: str
    status: str


class Member(msgspec.Struct, frozen=True):
    """A project that an image is shared with. Times are microseconds since the epoch."""

    id: str
    status: str
    created_at: int
    updated_at: int


class Record(msgspec.Struct, frozen=True):
    """An image in Glance's database."""

    row: Mapping[str, Any]
    properties: dict[str, str]
    tags: tuple[str, ...]
    members: tuple[Member, ...]
    locations: tuple[Location, ...]


class Metadefs(msgspec.Struct, frozen=True):
    """Metadata definitions: namespaces, and resource types with their times of creation and change."""

    namespaces: tuple[Namespace, ...]
    types: tuple[tuple[str, int, int], ...]


class Place(msgspec.Struct, frozen=True):
    """Where bytes are: the kind of store, what identifies it among its kind, and the name in it."""

    kind: str
    within: str
    name: str


class Configuration(msgspec.Struct, frozen=True):
    """The relevant parts of `glance-api.conf`: the database, and the equivalent sections of `[stores]`."""

    database: str
    stores: dict[str, dict[str, str]]
    """By name, the default one first; `type` is Tintype's kind of store, missing if there is none."""


def read_configuration(path: Path) -> Configuration:
    """Read `glance-api.conf`; raises StartError if it names no database."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="\0")
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise StartError(f"Cannot read {path}: {' '.join(str(error).split())}.") from None
    database = parser.get("database", "connection", fallback="")
    if not database:
        raise StartError(f"{path} names no database: [database] connection.")
    return Configuration(database, dict(_stores(parser)))


def _stores(parser: configparser.ConfigParser) -> Iterator[tuple[str, dict[str, str]]]:
    enabled = parser.get("DEFAULT", "enabled_backends", fallback="")
    if enabled:
        default = parser.get("glance_store", "default_backend", fallback="")
        pairs = [part.strip().partition(":") for part in enabled.split(",") if part.strip()]
        found = [(name.strip(), kind.strip(), name.strip()) for name, _, kind in pairs]
    else:  # one store of each kind, as before Rocky
        default = parser.get("glance_store", "default_store", fallback="file")
        kinds = parser.get("glance_store", "stores", fallback="file,http").split(",")
        found = [(kind.strip(), kind.strip(), "glance_store") for kind in kinds]
    for name, kind, section in sorted(found, key=lambda store: store[0] != default):
        options = dict(parser.items(section)) if parser.has_section(section) else {}
        folders = options.get("filesystem_store_datadirs", "").split(",") if kind in _FILES else [""]
        for number, folder in enumerate(folders):  # each of several is a separate store here
            if folder.strip():
                options = {"filesystem_store_datadir": folder.strip().partition(":")[0]}
            yield (name if number == 0 else f"{name}-{number + 1}"), _store(kind, options)


def _store(kind: str, options: Mapping[str, str]) -> dict[str, str]:
    match kind:
        case "file" | "filesystem":
            folder = options.get("filesystem_store_datadir", "/var/lib/glance/images")
            return {"type": "file", "folder": os.path.realpath(folder)}
        case "rbd":
            return {
                "type": "rbd",
                "pool": options.get("rbd_store_pool", "images"),
                "user": options.get("rbd_store_user", "glance"),
                "conf": options.get("rbd_store_ceph_conf", "/etc/ceph/ceph.conf"),
            }
        case "s3":
            return {
                "type": "s3",
                "bucket": options.get("s3_store_bucket", ""),
                "endpoint": options.get("s3_store_host", ""),
                "access_key": options.get("s3_store_access_key", ""),
                "secret_key": "…",
            }
        case _:
            return {}


def place_of(url: str) -> Place | None:
    """Return the place that a location's URL refers to; None if no kind of store matches."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    match parts.scheme:
        case "file" | "filesystem":
            folder, _, name = unquote(parts.path).rpartition("/")
            return Place("file", os.path.realpath(folder), name)
        case "rbd":
            pieces = [unquote(piece) for piece in f"{parts.netloc}{parts.path}".split("/")]
            return Place("rbd", pieces[1], pieces[2]) if len(pieces) == 4 else None
        case "s3" | "s3+http" | "s3+https":
            bucket, _, name = unquote(parts.path).removeprefix("/").rpartition("/")
            return Place("s3", f"{host_of(parts.netloc)}/{bucket}", name)
        case _:
            return None


def host_of(address: str) -> str:
    """Return the part of an S3 address that identifies the service: host and port, or Amazon."""
    host = address.rpartition("//")[2].rpartition("@")[2].partition("/")[0].lower()
    return "amazonaws.com" if not host or host.endswith("amazonaws.com") else host


def read_records(url: str, work: Callable[[Iterator[Record]], T]) -> T:
    """Pass every image of a Glance database to `work`, deleted ones too, in batches.

    PostgreSQL and MySQL read from one snapshot. `url` is Glance's own SQLAlchemy URL. Raises StartError if
    the database cannot be read.
    """
    return _run(url, lambda connection: work(_records(connection)))


def read_metadefs(url: str) -> Metadefs:
    """Read the metadata definitions; none if the database has no tables for them."""
    return _run(url, _metadefs)


def _run(url: str, work: Callable[[Connection], T]) -> T:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return asyncio.run(_with_postgres(parsed.set(drivername="postgresql+asyncpg"), work))
        if parsed.get_backend_name() in {"mysql", "mariadb"}:
            parsed = parsed.set(drivername="mysql+pymysql")
        elif parsed.get_backend_name() != "sqlite":
            raise StartError("Glance's database must be PostgreSQL, MySQL, MariaDB or SQLite.")
        elif not os.path.isfile(parsed.database or ""):  # noqa: PTH113 (SQLite would make one)
            raise StartError(f"There is no file {parsed.database}.")
        engine = create_engine(parsed, poolclass=NullPool)
        try:
            with engine.connect() as connection:
                return work(connection)
        finally:
            engine.dispose()
    except ImportError as error:
        raise missing("Reading Glance's database", "glance", error) from None
    except (SQLAlchemyError, ArgumentError, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        shown = url.partition("?")[0].rpartition("@")[2]
        raise StartError(f"Cannot read Glance's database {shown}: {reason}.") from None


async def _with_postgres(url: Any, work: Callable[[Connection], T]) -> T:
    import greenlet  # noqa: F401 (SQLAlchemy imports it when it is needed, and says less when it is missing)
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _records(connection: Connection) -> Iterator[Record]:
    metadata = MetaData()
    if not inspect(connection).has_table("image_locations"):
        raise StartError("This is not a database of Glance: it has no table of images' locations.")
    tables = {name: Table(name, metadata, autoload_with=connection) for name in _TABLES}
    images, after = tables["images"], ""
    while True:
        statement = select(images).where(images.c.id > after).order_by(images.c.id).limit(_BATCH)
        rows = connection.execute(statement).mappings().all()
        ids = [row["id"] for row in rows]
        found = {name: _rows_of(connection, tables[name], ids) for name in _TABLES[1:]}
        for row in rows:
            yield _record(dict(row), {name: by_image[row["id"]] for name, by_image in found.items()})
        if len(rows) < _BATCH:
            return
        after = rows[-1]["id"]


def _metadefs(connection: Connection) -> Metadefs:
    if not inspect(connection).has_table("metadef_namespaces"):
        return Metadefs((), ())

    def rows(name: str) -> list[Mapping[str, Any]]:
        table = Table(f"metadef_{name}", MetaData(), autoload_with=connection)
        first = table.c[("namespace_id" if name == "namespace_resource_types" else "id")]
        return [dict(row) for row in connection.execute(select(table).order_by(first)).mappings()]

    def of_each(name: str) -> Mapping[int, list[Mapping[str, Any]]]:
        found: Mapping[int, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows(name):
            found[row["namespace_id"]].append(row)
        return found

    types = {row["id"]: row for row in rows("resource_types")}
    parts = {name: of_each(name) for name in ("properties", "objects", "tags", "namespace_resource_types")}
    namespaces = (
        _namespace(row, types, {name: found[row["id"]] for name, found in parts.items()})
        for row in rows("namespaces")
    )
    return Metadefs(tuple(namespaces), tuple((row["name"], *_stamps(row)) for row in types.values()))


def _namespace(
    row: Mapping[str, Any], types: Mapping[int, Any], of: Mapping[str, list[Mapping[str, Any]]]
) -> Namespace:
    created_at, updated_at = _stamps(row)
    return Namespace(
        id=str(uuid.uuid4()),
        namespace=row["namespace"],
        display_name=row["display_name"],
        description=row["description"],
        visibility=row["visibility"] or PRIVATE,
        protected=bool(row["protected"]),
        owner=row["owner"],
        created_at=created_at,
        updated_at=updated_at,
        properties={each["name"]: _json(each["json_schema"]) for each in of["properties"]},
        objects={each["name"]: _object(each) for each in of["objects"]},
        tags={each["name"]: Tag(each["name"], *_stamps(each)) for each in of["tags"]},
        associations={
            name: Association(name, *_stamps(each), each["prefix"], each["properties_target"])
            for each in of["namespace_resource_types"]
            for name in [types[each["resource_type_id"]]["name"]]
        },
    )


def _object(row: Mapping[str, Any]) -> Object:
    required = tuple(row["required"].split(",")) if row["required"] else ()
    return Object(row["name"], *_stamps(row), row["description"], required, _json(row["json_schema"]))


def _json(text: Any) -> dict[str, Any]:
    """Return the value of a JSON column, which some drivers have already decoded.

    Invalid JSON becomes a value that the import rejects: Glance loads files without validating them.
    """
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else text
    except (msgspec.DecodeError, RecursionError):
        value = text
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"?": value}


def _stamps(row: Mapping[str, Any]) -> tuple[int, int]:
    created_at = _microseconds(row["created_at"])
    return created_at, _microseconds(row["updated_at"]) or created_at


def _rows_of(connection: Connection, table: Table, ids: list[str]) -> Mapping[str, list[Mapping[str, Any]]]:
    found: Mapping[str, list[Mapping[str, Any]]] = defaultdict(list)
    order = table.c.id
    for row in connection.execute(select(table).where(table.c.image_id.in_(ids)).order_by(order)).mappings():
        if not row["deleted"]:
            found[row["image_id"]].append(dict(row))
    return found


def _record(row: Mapping[str, Any], of: Mapping[str, list[Mapping[str, Any]]]) -> Record:
    times = {name: _microseconds(row[name]) for name in ("created_at", "updated_at", "deleted_at")}
    return Record(
        row={**row, **times, "updated_at": times["updated_at"] or times["created_at"]},
        properties={each["name"]: each["value"] or "" for each in of["image_properties"]},
        tags=tuple(each["value"] for each in of["image_tags"]),
        members=tuple(
            {
                each["member"]: Member(each["member"], each["status"], *_stamps(each))
                for each in of["image_members"]
            }.values()
        ),
        locations=tuple(Location(each["value"], each["status"]) for each in of["image_locations"]),
    )


def _microseconds(moment: datetime | None) -> int:
    """Convert a time of Glance, which has no zone and means UTC, to microseconds; 0 for none."""
    if moment is None:
        return 0
    aware = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(aware.timestamp()) * 1_000_000 + aware.microsecond
