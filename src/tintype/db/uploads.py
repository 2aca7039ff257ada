"""Resumable uploads in the database; each has the id of its blob."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from tintype.db.engine import LEASE_CLOCK, Transaction
from tintype.db.tables import images
from tintype.db.tables import uploads as table
from tintype.domain.uploads import Upload


class UploadLease(msgspec.Struct, frozen=True):
    """Which request holds an upload, whether another one wants it, and how long the lease still lasts."""

    holder: str | None
    wanted: bool
    left: int
    """Microseconds; negative once the lease has expired."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode
_COLUMNS: Final = tuple(table.c[name] for name in Upload.__struct_fields__)
_ADD: Final = insert(table)
_GET: Final = select(*_COLUMNS).where(table.c.id == bindparam("key"), table.c.image_id == bindparam("image"))
_OF: Final = (
    select(*_COLUMNS).where(table.c.image_id == bindparam("image")).order_by(table.c.expires_at, table.c.id)
)
_COUNT: Final = select(func.count()).where(
    table.c.image_id == bindparam("image"), table.c.offset < table.c.length
)
_COUNT_OF_OWNER: Final = (
    select(func.count())
    .select_from(table.join(images, images.c.id == table.c.image_id))
    .where(images.c.owner == bindparam("owner"), table.c.offset < table.c.length)
)
_ACQUIRE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.held_until < LEASE_CLOCK)
    .values(holder=bindparam("by"), held_until=LEASE_CLOCK + bindparam("lease"), wanted=False)
)
_WANT: Final = update(table).where(table.c.id == bindparam("key")).values(wanted=True)
_LEASE: Final = select(
    table.c.holder, table.c.wanted, (table.c.held_until - LEASE_CLOCK).label("left")
).where(table.c.id == bindparam("key"))
_RENEW: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
    .values(held_until=LEASE_CLOCK + bindparam("lease"))
)
_RELEASE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
    .values(holder=None, held_until=0, wanted=False)
)
_RELEASE_ALL: Final = update(table).values(holder=None, held_until=0, wanted=False)
_ADVANCE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
    .values(offset=bindparam("reached"), expires_at=bindparam("expires"))
)
_LOCK: Final = (
    select(table.c.held_until > LEASE_CLOCK).where(table.c.id == bindparam("key")).with_for_update()
)
_REMOVE: Final = delete(table).where(table.c.id == bindparam("key"))
_PRUNE: Final = delete(table).where(table.c.expires_at < bindparam("now"), table.c.offset == table.c.length)


async def add(tx: Transaction, upload: Upload) -> None:
    """Store a new upload."""
    row = msgspec.structs.asdict(upload) | {"expected": _encode(upload.expected).decode()}
    await tx.execute(_ADD, {**row, "holder": None, "held_until": 0, "wanted": False})


async def get(tx: Transaction, image_id: str, upload_id: str) -> Upload | None:
    """Return an image's upload, or None if it does not exist."""
    row = (await tx.execute(_GET, {"key": upload_id, "image": image_id})).first()
    return None if row is None else _from_row(row)


async def list_of(tx: Transaction, image_id: str) -> list[Upload]:
    """Return the uploads of an image."""
    return [_from_row(row) for row in await tx.execute(_OF, {"image": image_id})]


async def count_open(tx: Transaction, image_id: str) -> int:
    """Return the number of unfinished uploads of an image."""
    return int((await tx.execute(_COUNT, {"image": image_id})).scalar_one())


async def count_open_of_owner(tx: Transaction, owner: str) -> int:
    """Return the number of unfinished uploads to a project's images."""
    return int((await tx.execute(_COUNT_OF_OWNER, {"owner": owner})).scalar_one())


async def acquire(tx: Transaction, upload_id: str, holder: str, lease: int) -> bool:
    """Acquire an upload for one request; return False if another holds it, and mark it as wanted."""
    if (await tx.execute(_ACQUIRE, {"key": upload_id, "by": holder, "lease": lease})).rowcount:
        return True
    await tx.execute(_WANT, {"key": upload_id})
    return False


async def get_lease(tx: Transaction, upload_id: str) -> UploadLease | None:
    """Return the lease of an upload, or None if the upload does not exist."""
    row = (await tx.execute(_LEASE, {"key": upload_id})).first()
    return None if row is None else UploadLease(row[0], bool(row[1]), row[2])


async def renew(tx: Transaction, upload_id: str, holder: str, lease: int) -> bool:
    """Renew the lease of an upload; return False if it was lost."""
    return (await tx.execute(_RENEW, {"key": upload_id, "by": holder, "lease": lease})).rowcount == 1


async def release(tx: Transaction, upload_id: str, holder: str) -> None:
    """Release an upload, so that the next request can acquire it."""
    await tx.execute(_RELEASE, {"key": upload_id, "by": holder})


async def advance(tx: Transaction, upload: Upload, holder: str) -> bool:
    """Record the number of durable bytes; return False if the request has lost the upload."""
    row = {"key": upload.id, "by": holder, "reached": upload.offset, "expires": upload.expires_at}
    return (await tx.execute(_ADVANCE, row)).rowcount == 1


async def lock(tx: Transaction, upload_id: str) -> bool:
    """Lock an upload until the transaction ends; return whether a request holds it."""
    row = (await tx.execute(_LOCK, {"key": upload_id})).first()
    return row is not None and bool(row[0])


async def remove(tx: Transaction, upload_id: str) -> bool:
    """Delete an upload; return False if it does not exist."""
    return (await tx.execute(_REMOVE, {"key": upload_id})).rowcount == 1


async def prune(tx: Transaction, now: int) -> None:
    """Delete finished uploads that have expired."""
    await tx.execute(_PRUNE, {"now": now})


async def release_all(tx: Transaction) -> None:
    """Release every upload. Call it only when no process that holds one is alive."""
    await tx.execute(_RELEASE_ALL)


def _from_row(row: Sequence[Any]) -> Upload:
    values = dict(zip(Upload.__struct_fields__, row, strict=True))
    return Upload(**values | {"expected": _decode(values["expected"])})
