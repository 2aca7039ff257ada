"""Metadata definitions in the database: rows in, `Namespace` out. Rules live in `domain/metadefs.py`."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Select, bindparam, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_once  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Database, Transaction, Violation
from tintype.db.tables import metadef_associations as links
from tintype.db.tables import metadef_namespaces as table
from tintype.db.tables import metadef_resource_types as types
from tintype.db.tables import metadef_takeovers as notes
from tintype.db.tables import secrets
from tintype.domain.callers import Caller
from tintype.domain.metadefs import (
    PUBLIC,
    Association,
    Definition,
    Listing,
    Namespace,
    Object,
    Tag,
)
from tintype.errors import Conflict, OverLimit

_DOCUMENTS: Final = {
    "properties": dict[str, Definition],
    "objects": dict[str, Object],
    "tags": dict[str, Tag],
    "associations": dict[str, Association],
}
_WHOLE: Final = Namespace.__struct_fields__
_HEAD: Final = tuple(name for name in _WHOLE if name not in {"properties", "objects", "tags"})
"""The columns that lists show."""
_DECODERS: Final = {name: msgspec.json.Decoder(kind).decode for name, kind in _DOCUMENTS.items()}
_encode: Final = msgspec.json.Encoder().encode

_ADD: Final = insert(table)
_LINK: Final = insert(links)
_GET: Final = select(*(table.c[name] for name in _WHOLE)).where(table.c.namespace == bindparam("name"))
_FOR: Final = (
    select(*(table.c[name] for name in _WHOLE))
    .join(links, links.c.namespace_id == table.c.id)
    .where(links.c.resource_type == bindparam("resource_type"))
)
_GET_LOCKED: Final = _GET.with_for_update()
_UPDATE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"))
    .values({name: bindparam(name) for name in _WHOLE if name != "id"})
)
_DELETE: Final = delete(table).where(table.c.id == bindparam("key"))
_UNLINK: Final = delete(links).where(links.c.namespace_id == bindparam("key"))
_ADD_TYPE: Final = insert_once(types).on_conflict_do_nothing()
_TYPES: Final = select(types.c.name, types.c.created_at, types.c.updated_at).order_by(
    types.c.created_at, types.c.name
)
_COUNT_OF: Final = (
    select(func.count()).select_from(table).where(table.c.owner.is_not_distinct_from(bindparam("owner")))
)
_FIRST_LOAD: Final = "metadata definitions were loaded"
_CLAIM: Final = insert_once(secrets).on_conflict_do_nothing()
_LOADED: Final = select(secrets.c.name).where(secrets.c.name == bindparam("name"))
_RECORD_TAKEN_OVER: Final = insert(notes)
_CLEAR_TAKEN_OVER: Final = delete(notes)
_TAKEN_OVER: Final = select(notes.c.namespace, notes.c.digest)
_CLEAR: Final = tuple(delete(each) for each in (links, table, types))


async def get(tx: Transaction, name: str, *, lock: bool = False) -> Namespace | None:
    """Return a namespace, or None. With `lock`, it is locked until the transaction ends."""
    row = (await tx.execute(_GET_LOCKED if lock else _GET, {"name": name})).first()
    return None if row is None else _from_row(_WHOLE, row)


class _Shape(NamedTuple):
    """The parts of a request that decide the statement of a page."""

    names: tuple[str, ...]
    is_admin: bool
    visibility: bool
    resource_types: bool
    limit: bool
    sort_key: str
    ascending: bool
    marker: bool


async def page(
    tx: Transaction, caller: Caller, listing: Listing, marker: Namespace | None, *, whole: bool = False
) -> list[Namespace]:
    """Return a page of what the caller may list, in one statement; with the contents only if `whole`."""
    names = ("limit", "visibility", "resource_types")
    wanted = {name: getattr(listing, name) for name in names}
    values: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    shape = _Shape(
        names=_WHOLE if whole else _HEAD,
        is_admin=caller.is_admin,
        sort_key=listing.sort_key,
        ascending=listing.ascending,
        marker=marker is not None,
        **{name: name in values for name in wanted},
    )
    if not caller.is_admin:
        values["project_id"] = caller.project_id
    if marker is not None:
        values |= {
            f"marker_{key}": "" if (value := getattr(marker, key)) is None else value for key in _keys(shape)
        }
    return [_from_row(shape.names, row) for row in await tx.execute(_select_page(shape), values)]


def _keys(shape: _Shape) -> list[str]:
    return list(dict.fromkeys((shape.sort_key, "created_at", "id")))


@functools.lru_cache(maxsize=256)
def _select_page(shape: _Shape) -> Select[Any]:
    """Return the statement of a page."""
    statement = select(*(table.c[name] for name in shape.names))
    if shape.limit:
        statement = statement.limit(bindparam("limit"))
    if not shape.is_admin:
        mine = table.c.owner.is_not_distinct_from(bindparam("project_id"))
        statement = statement.where(or_(table.c.visibility == PUBLIC, mine))
    if shape.visibility:
        statement = statement.where(table.c.visibility == bindparam("visibility"))
    if shape.resource_types:
        wanted = links.c.resource_type.in_(bindparam("resource_types", expanding=True))
        statement = statement.where(exists().where(links.c.namespace_id == table.c.id, wanted))
    keys = _keys(shape)
    columns = [func.coalesce(table.c[key], "") if table.c[key].nullable else table.c[key] for key in keys]
    if shape.marker:
        here = tuple_(*columns)
        there = tuple_(*(bindparam(f"marker_{key}", type_=table.c[key].type) for key in keys))
        statement = statement.where(here > there if shape.ascending else here < there)
    return statement.order_by(*(column.asc() if shape.ascending else column.desc() for column in columns))


async def for_resource(tx: Transaction, resource_type: str) -> list[Namespace]:
    """Return every namespace for a resource type, with its contents."""
    return [_from_row(_WHOLE, row) for row in await tx.execute(_FOR, {"resource_type": resource_type})]


async def count_of(tx: Transaction, owner: str | None) -> int:
    """Return the number of namespaces that a project owns."""
    return int((await tx.execute(_COUNT_OF, {"owner": owner})).scalar_one())


async def add(tx: Transaction, namespace: Namespace, *, most_bytes: int | None = None) -> None:
    """Store a new namespace.

    Raises Conflict if its name is taken, OverLimit if it is larger than `most_bytes` with its contents.
    """
    try:
        await tx.execute(_ADD, _to_row(namespace, most_bytes))
    except Violation:
        raise _taken(namespace) from None
    await _link(tx, namespace)


async def save(
    tx: Transaction, before: Namespace, after: Namespace, *, most_bytes: int | None = None
) -> None:
    """Replace a namespace that is locked.

    Raises Conflict if its new name is taken, OverLimit if it has more than `most_bytes` with its contents
    and has not become smaller.
    """
    row = _to_row(after, most_bytes, before) | {"key": before.id}
    del row["id"]
    try:
        await tx.execute(_UPDATE, row)
    except Violation:
        raise _taken(after) from None
    if after.associations.keys() != before.associations.keys():
        await tx.execute(_UNLINK, {"key": before.id})
        await _link(tx, after)


async def remove(tx: Transaction, namespace: Namespace) -> None:
    """Delete a namespace and its contents."""
    await tx.execute(_DELETE, {"key": namespace.id})


async def clear(tx: Transaction) -> None:
    """Delete every namespace and resource type."""
    for statement in _CLEAR:
        await tx.execute(statement)


async def resource_types(tx: Transaction) -> list[tuple[str, int, int]]:
    """Return each resource type, oldest first: its name, and when it was created and changed."""
    return [(row[0], row[1], row[2]) for row in await tx.execute(_TYPES)]


async def was_loaded(tx: Transaction) -> bool:
    """Return whether definitions have been loaded before."""
    return (await tx.execute(_LOADED, {"name": _FIRST_LOAD})).first() is not None


async def claim_first_load(tx: Transaction) -> bool:
    """Claim the first load of definitions; return True for the first caller only."""
    return (await tx.execute(_CLAIM, {"name": _FIRST_LOAD, "value": "1"})).rowcount == 1


async def taken_over(tx: Transaction) -> dict[str, str]:
    """Return the digest that each imported namespace had at the time of the import."""
    return {row[0]: row[1] for row in await tx.execute(_TAKEN_OVER)}


async def record_taken_over(tx: Transaction, digests: Mapping[str, str]) -> None:
    """Record the digests of imported namespaces, replacing earlier records."""
    await tx.execute(_CLEAR_TAKEN_OVER)
    for name, digest in digests.items():
        await tx.execute(_RECORD_TAKEN_OVER, {"namespace": name, "digest": digest})


async def add_resource_types(database: Database, types: Iterable[tuple[str, int, int]]) -> None:
    """Add resource types, each with its times of creation and change; skip those that exist.

    Each has its own transaction: two that added the same types in different orders would deadlock.
    """
    for name, created_at, updated_at in types:
        async with database.write(single=True) as tx:
            row = {"name": name, "created_at": created_at, "updated_at": updated_at}
            await tx.execute(_ADD_TYPE, row)


async def _link(tx: Transaction, namespace: Namespace) -> None:
    for each in namespace.associations.values():
        await tx.execute(_LINK, {"namespace_id": namespace.id, "resource_type": each.name})


def _taken(namespace: Namespace) -> Conflict:
    return Conflict(f"The metadata definition namespace={namespace.namespace} already exists.")


def _from_row(names: Sequence[str], row: Sequence[Any]) -> Namespace:
    values = dict(zip(names, row, strict=True))
    for name in values.keys() & _DOCUMENTS.keys():
        values[name] = _DECODERS[name](values[name])
    return Namespace(**values)


def _to_row(namespace: Namespace, most_bytes: int | None, before: Namespace | None = None) -> dict[str, Any]:
    """Return the row of a namespace; raises OverLimit if it is too large and has not become smaller."""
    documents = _documents(namespace)
    size = sum(map(len, documents.values()))
    if most_bytes is not None and size > most_bytes:
        old = sum(map(len, _documents(before).values())) if before is not None else 0
        if size >= old:
            raise OverLimit(f"A namespace may have {most_bytes} bytes with all that is in it.")
    return msgspec.structs.asdict(namespace) | {name: each.decode() for name, each in documents.items()}


def _documents(namespace: Namespace) -> dict[str, bytes]:
    """Return the contents of a namespace as JSON, by column."""
    return {name: _encode(getattr(namespace, name)) for name in _DOCUMENTS}
