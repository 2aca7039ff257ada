"""Images in the database: rows in, `Image` out. Rules live in `domain/images.py`.

Triggers maintain the tables of properties and tags, by which lists are filtered
(migrations/versions/0013_initial.py).
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_once  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Database, Lookup, Transaction, Violation
from tintype.db.tables import blobs, image_members, image_tombstones, images
from tintype.domain.blobs import CONDEMNED, PARTIAL, STAGED, WRITING
from tintype.domain.images import BUSY, UPLOADING, Image
from tintype.domain.quotas import Usage
from tintype.errors import Conflict

_JSON: Final = ("properties", "tags", "stores")
COLUMNS: Final = tuple(images.c[name] for name in Image.__struct_fields__ if name != "member_id")
"""The columns of an image in the order of its fields. A row of them, followed by member_id, is an image."""
_decode_map: Final = msgspec.json.Decoder(dict[str, str]).decode
_decode_list: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_encode: Final = msgspec.json.Encoder().encode


def _select_image(image_id: sa.ColumnElement[str], project_id: sa.ColumnElement[str]) -> sa.Select[Any]:
    is_member = sa.and_(image_members.c.image_id == images.c.id, image_members.c.member_id == project_id)
    return (
        sa.select(*COLUMNS, image_members.c.member_id)
        .select_from(images.outerjoin(image_members, is_member))
        .where(images.c.id == image_id)
    )


_FIND: Final = Lookup(_select_image, "image_id", "project_id")
_GET: Final = _FIND.single
_GET_LOCKED: Final = _GET.with_for_update(of=images)
_LOCK: Final = sa.select(images.c.id).where(images.c.id == sa.bindparam("image_id")).with_for_update()
_IS_CLAIMED_BY: Final = sa.select(images.c.id).where(
    images.c.id == sa.bindparam("key"), images.c.import_task == sa.bindparam("task")
)
_INSERT: Final = sa.insert(images)
_UPDATE: Final = (
    sa.update(images)
    .where(images.c.id == sa.bindparam("key"), images.c.version == sa.bindparam("expected"))
    .values(
        {
            column.name: sa.bindparam(column.name)
            for column in COLUMNS
            if column.name not in {"id", "created_at"}
        }
    )
)
_SET_STATUS: Final = (
    sa.update(images)
    .where(images.c.id == sa.bindparam("key"), images.c.status.in_(sa.bindparam("expected", expanding=True)))
    .values(version=images.c.version + 1)
)
"""Also sets the columns that the parameters name."""
_DELETE: Final = sa.delete(images).where(
    images.c.id == sa.bindparam("key"), images.c.version == sa.bindparam("expected")
)
_NAMES: Final = sa.select(images.c.id, images.c.name, images.c.status, images.c.owner).where(
    images.c.id.in_(sa.bindparam("ids", expanding=True))
)
_RESERVE_ID: Final = sa.insert(image_tombstones)
_IS_RESERVED: Final = sa.select(image_tombstones.c.id).where(image_tombstones.c.id == sa.bindparam("key"))
_RESERVE_ID_ONCE: Final = insert_once(image_tombstones).on_conflict_do_nothing()


def _bytes(which: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(blobs.c.size).filter(which), 0)


_IS_STAGED: Final = sa.or_(
    blobs.c.state == STAGED, sa.and_(blobs.c.state == WRITING, images.c.status == UPLOADING)
)
_IS_FILLING: Final = sa.or_(
    images.c.status.in_(BUSY), images.c.importing_to != "", images.c.import_task.is_not(None)
)
"""Images that are receiving data; as in Glance, also an active one that is copied to more stores."""
_COUNTS: Final = (
    sa.select(sa.func.count().label("images"), sa.func.count().filter(_IS_FILLING).label("filling"))
    .where(images.c.owner == sa.bindparam("owner"))
    .subquery()
)
_SIZES: Final = (
    sa.select(
        sa.func.count().filter(blobs.c.state == PARTIAL).label("partial"),
        _bytes(sa.not_(_IS_STAGED)).label("stored"),
        _bytes(_IS_STAGED).label("staged"),
    )
    .select_from(images.join(blobs, blobs.c.image_id == images.c.id))
    .where(images.c.owner == sa.bindparam("owner"), blobs.c.state != CONDEMNED)
    .subquery()
)
_USAGE: Final = sa.select(
    _COUNTS.c.images, _COUNTS.c.filling + _SIZES.c.partial, _SIZES.c.stored, _SIZES.c.staged
).select_from(_COUNTS.join(_SIZES, sa.true()))


async def find(database: Database, image_id: str, project_id: str | None) -> Image | None:
    """Return the image with its `member_id` as the project sees it, or None if it does not exist."""
    row = await database.first(_FIND, {"image_id": image_id, "project_id": project_id})
    return None if row is None else from_row(row)


async def get(tx: Transaction, image_id: str, project_id: str | None, *, lock: bool = False) -> Image | None:
    """Return the image as `find` does, in a transaction.

    With `lock`, the image is locked until the transaction ends.
    """
    statement = _GET_LOCKED if lock else _GET
    result = await tx.execute(statement, {"image_id": image_id, "project_id": project_id})
    row = result.first()
    return None if row is None else from_row(row)


async def names(tx: Transaction, ids: Collection[str]) -> list[tuple[str, str | None, str, str | None]]:
    """Return id, name, status and owner of those images that exist."""
    return [tuple(row) for row in await tx.execute(_NAMES, {"ids": list(ids)})]


async def lock(tx: Transaction, image_id: str) -> None:
    """Lock an image until the transaction ends.

    Whatever changes an upload or a blob, and perhaps the image, calls this first: a fixed lock order.
    """
    await tx.execute(_LOCK, {"image_id": image_id})


async def is_claimed_by(tx: Transaction, image_id: str, task_id: str) -> bool:
    """Return whether an image still exists and belongs to a task's import."""
    return (await tx.execute(_IS_CLAIMED_BY, {"key": image_id, "task": task_id})).first() is not None


async def add(tx: Transaction, image: Image) -> None:
    """Store a new image; raises Conflict if its id is, or ever was, in use."""
    try:
        await tx.execute(_INSERT, _to_row(image))
    except Violation:
        raise Conflict(f"Image ID {image.id} already exists!") from None


async def save(tx: Transaction, before: Image, after: Image) -> bool:
    """Replace one version of an image with the next; return False if `before` is no longer what is stored."""
    row = _to_row(after) | {"key": before.id, "expected": before.version, "version": before.version + 1}
    del row["id"], row["created_at"]
    return (await tx.execute(_UPDATE, row)).rowcount == 1


async def remove(tx: Transaction, image: Image, now: int) -> bool:
    """Delete an image and reserve its id; return False if it is no longer what is stored."""
    if (await tx.execute(_DELETE, {"key": image.id, "expected": image.version})).rowcount == 0:
        return False
    await tx.execute(_RESERVE_ID, {"id": image.id, "deleted_at": now})
    return True


async def reserve_id(tx: Transaction, image_id: str, moment: int) -> None:
    """Reserve an id that was in use elsewhere; succeed if it is reserved already."""
    await tx.execute(_RESERVE_ID_ONCE, {"id": image_id, "deleted_at": moment})


async def is_reserved(tx: Transaction, image_id: str) -> bool:
    """Return whether an id is reserved because it was in use before."""
    return (await tx.execute(_IS_RESERVED, {"key": image_id})).first() is not None


async def set_status(
    tx: Transaction,
    image_id: str,
    change: tuple[Sequence[str], str],
    now: int,
    *,
    stores: Sequence[str] = (),
    **values: Any,
) -> bool:
    """Move an image from one of some statuses to another, regardless of other concurrent changes.

    Returns False if it is gone or in another status. `values` are further columns to set.
    """
    expected, status = change
    row = {"key": image_id, "expected": list(expected), "status": status, "updated_at": now, **values}
    return (await tx.execute(_SET_STATUS, row | {"stores": _encode(tuple(stores)).decode()})).rowcount == 1


async def usage(tx: Transaction, owner: str) -> Usage:
    """Return a project's usage, counted each time so that it is never wrong."""
    return Usage(*(int(value) for value in (await tx.execute(_USAGE, {"owner": owner})).one()))


def from_row(row: Sequence[Any]) -> Image:
    """Return the image of a row of COLUMNS that is followed by the member's project."""
    *plain, properties, tags, stores, version, member_id = row
    decoded = (
        {} if properties == "{}" else _decode_map(properties),
        () if tags == "[]" else _decode_list(tags),
        () if stores == "[]" else _decode_list(stores),
    )
    fields: tuple[Any, ...] = (*plain, *decoded, version, member_id)
    return Image(*fields)


def _to_row(image: Image) -> dict[str, Any]:
    row = msgspec.structs.asdict(image)
    del row["member_id"]
    for name in _JSON:
        row[name] = _encode(row[name]).decode()
    return row
