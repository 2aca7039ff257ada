"""Blobs: which bytes exist, in which store, and who is writing them.

A blob is `writing` under a lease, then `ready`; `condemned` bytes are deleted, then the row.
"""

from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from tintype.db.engine import Transaction
from tintype.db.tables import blobs as table

WRITING: Final = "writing"
READY: Final = "ready"
CONDEMNED: Final = "condemned"
_BATCH: Final = 100


class Blob(msgspec.Struct, frozen=True):
    """Bytes in a store; the blob's id is their key there."""

    id: str
    store: str
    image_id: str


_SELECT: Final = select(table.c.id, table.c.store, table.c.image_id)
_READY_OF: Final = _SELECT.where(table.c.image_id == bindparam("image"), table.c.state == READY)
_IS_READY: Final = select(table.c.id).where(table.c.id == bindparam("key"), table.c.state == READY)
_STATE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == bindparam("expected"))
    .values(state=bindparam("state"))
)
_FINISH: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == WRITING)
    .values(state=READY, size=bindparam("size"))
)
_EXTEND: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == WRITING)
    .values(lease_expires_at=bindparam("until"))
)
_EXPIRED: Final = _SELECT.where(table.c.state == WRITING, table.c.lease_expires_at < bindparam("now")).limit(
    _BATCH
)
_EXPIRE: Final = (
    update(table)
    .where(
        table.c.id == bindparam("key"), table.c.state == WRITING, table.c.lease_expires_at < bindparam("now")
    )
    .values(state=CONDEMNED)
)
_CONDEMNED: Final = _SELECT.where(table.c.state == CONDEMNED).order_by(table.c.lease_expires_at).limit(_BATCH)
_POSTPONE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == CONDEMNED)
    .values(lease_expires_at=bindparam("moment"))
)
_CONDEMN_OF: Final = update(table).where(table.c.image_id == bindparam("image")).values(state=CONDEMNED)
_DELETE: Final = delete(table).where(table.c.id == bindparam("key"), table.c.state == CONDEMNED)


async def begin(tx: Transaction, blob: Blob, *, now: int, lease_until: int) -> None:
    """Note that bytes are about to be written."""
    await tx.execute(
        insert(table),
        {
            "id": blob.id,
            "store": blob.store,
            "image_id": blob.image_id,
            "state": WRITING,
            "lease_expires_at": lease_until,
            "created_at": now,
        },
    )


async def extend(tx: Transaction, blob_id: str, until: int) -> bool:
    """Prolong the writer's lease; False where it is lost: the image was deleted, or the lease expired."""
    return (await tx.execute(_EXTEND, {"key": blob_id, "until": until})).rowcount == 1


async def finish(tx: Transaction, blob_id: str, size: int) -> bool:
    """Note that the bytes are complete; False where the lease is lost."""
    return (await tx.execute(_FINISH, {"key": blob_id, "size": size})).rowcount == 1


async def is_ready(tx: Transaction, blob_id: str) -> bool:
    """Say whether the bytes are complete and in use."""
    return (await tx.execute(_IS_READY, {"key": blob_id})).first() is not None


async def condemn(tx: Transaction, blob_id: str) -> bool:
    """Give up a blob in writing; False where somebody else did."""
    row = {"key": blob_id, "expected": WRITING, "state": CONDEMNED}
    return (await tx.execute(_STATE, row)).rowcount == 1


async def condemn_all_of(tx: Transaction, image_id: str) -> None:
    """Give up every blob of an image."""
    await tx.execute(_CONDEMN_OF, {"image": image_id})


async def ready_of(tx: Transaction, image_id: str) -> list[Blob]:
    """Give the complete blobs of an image."""
    return [Blob(*row) for row in await tx.execute(_READY_OF, {"image": image_id})]


async def expired(tx: Transaction, now: int) -> list[Blob]:
    """Give some of the blobs whose writer has not been heard of in time."""
    return [Blob(*row) for row in await tx.execute(_EXPIRED, {"now": now})]


async def expire(tx: Transaction, blob_id: str, now: int) -> bool:
    """Condemn a blob whose lease is over; False where the writer came back, or another sweeper was first."""
    return (await tx.execute(_EXPIRE, {"key": blob_id, "now": now})).rowcount == 1


async def expire_all(tx: Transaction) -> None:
    """End every lease: for when it is known that no writer lives."""
    await tx.execute(update(table).where(table.c.state == WRITING).values(lease_expires_at=0))


async def condemned(tx: Transaction) -> list[Blob]:
    """Give some of the blobs whose bytes wait to be deleted."""
    return [Blob(*row) for row in await tx.execute(_CONDEMNED)]


async def postpone(tx: Transaction, blob_id: str, moment: int) -> None:
    """Put a condemned blob behind the others."""
    await tx.execute(_POSTPONE, {"key": blob_id, "moment": moment})


async def forget(tx: Transaction, blob_id: str) -> None:
    """Delete the row of a blob whose bytes are gone."""
    await tx.execute(_DELETE, {"key": blob_id})
