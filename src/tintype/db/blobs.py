"""Blobs in the database. The states and the edges between them are those of `domain/blobs.py`.

Each statement that moves blobs names its edges. Importing this module fails if one of them is not in the
table of transitions. A blob that is in another state is left as it is.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Update, and_, bindparam, case, delete, func, insert, or_, select, update

from tintype.db.engine import LEASE_CLOCK, Database, Transaction
from tintype.db.tables import blobs as table
from tintype.domain.blobs import (
    CONDEMNED,
    PARTIAL,
    READY,
    STAGED,
    TRANSITIONS,
    WRITING,
    Blob,
    StoredBlob,
    check_transition,
)

BATCH: Final = 100
_EDGES: Final = [(old, new) for old, states in TRANSITIONS.items() for new in sorted(states)]


def _move(old: str, new: str, **values: Any) -> Update:
    """Return the statement that moves one blob along an edge of the table of transitions."""
    check_transition(old, new)
    return (
        update(table).where(table.c.id == bindparam("key"), table.c.state == old).values(state=new, **values)
    )


COLUMNS: Final = (
    table.c.id,
    table.c.store,
    table.c.image_id,
    table.c.state,
    table.c.place,
    table.c.metadata,
)
_SELECT: Final = select(*COLUMNS)
_READY_OF: Final = _SELECT.where(table.c.image_id == bindparam("image"), table.c.state == READY).order_by(
    table.c.created_at, table.c.id
)
_READY_OF_MANY: Final = _SELECT.where(
    table.c.image_id.in_(bindparam("images", expanding=True)), table.c.state == READY
).order_by(table.c.created_at, table.c.id)
_STAGED_OF: Final = select(*COLUMNS, table.c.size, table.c.digests).where(
    table.c.image_id == bindparam("image"), table.c.state == STAGED
)
_GET: Final = _SELECT.where(table.c.id == bindparam("key"))
_ALL_COMPLETE: Final = (
    select(*COLUMNS, table.c.digests)
    .where(table.c.state.in_((READY, STAGED)), table.c.id > bindparam("after"))
    .order_by(table.c.id)
    .limit(BATCH)
)
_COUNTS: Final = select(table.c.store, func.count()).where(table.c.state == READY).group_by(table.c.store)
_ANY_IN: Final = select(table.c.id).where(table.c.store == bindparam("store")).limit(1)
_NEXT_IN: Final = (
    select(*COLUMNS, table.c.size)
    .where(table.c.store == bindparam("store"), table.c.state == READY, table.c.id >= bindparam("after"))
    .order_by(table.c.id)
    .limit(1)
)
_KNOWN: Final = select(table.c.id).where(table.c.id.in_(bindparam("keys", expanding=True)))
_ADD: Final = insert(table)
_BEGIN: Final = _ADD.values(lease_expires_at=LEASE_CLOCK + bindparam("lease"))
_MOVE: Final = {edge: _move(*edge, lease_expires_at=bindparam("until")) for edge in _EDGES}
_COMPLETE: Final = {
    state: _move(
        WRITING,
        state,
        size=bindparam("size"),
        digests=bindparam("digests"),
        lease_expires_at=bindparam("until"),
    )
    for state in (READY, STAGED)
}
_ACQUIRE: Final = _move(PARTIAL, WRITING, lease_expires_at=LEASE_CLOCK + bindparam("lease"))
_RENEW: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == WRITING)
    .values(lease_expires_at=LEASE_CLOCK + bindparam("lease"))
)
_KEEP_UNTIL: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state.in_((PARTIAL, STAGED)))
    .values(lease_expires_at=bindparam("until"))
)
_RENEW_ALL_OF: Final = (
    update(table)
    .where(table.c.image_id == bindparam("image"), table.c.state == WRITING)
    .values(lease_expires_at=LEASE_CLOCK + bindparam("lease"))
)
_OVER: Final = or_(
    and_(table.c.state == WRITING, table.c.lease_expires_at < LEASE_CLOCK),
    and_(table.c.state.in_((PARTIAL, STAGED)), table.c.lease_expires_at < bindparam("now")),
)
_EXPIRED: Final = (
    select(*COLUMNS, table.c.lease_expires_at)
    .where(
        _OVER,
        or_(
            table.c.lease_expires_at > bindparam("since"),
            and_(table.c.lease_expires_at == bindparam("since"), table.c.id > bindparam("after")),
        ),
    )
    .order_by(table.c.lease_expires_at, table.c.id)
    .limit(BATCH)
)
_EXPIRE_ALL: Final = update(table).where(table.c.state.in_((WRITING, CONDEMNED))).values(lease_expires_at=0)
_EXPIRE: Final = {edge: statement.where(_OVER) for edge, statement in _MOVE.items()}
_CONDEMNABLE: Final = [old for old, new in _EDGES if new == CONDEMNED]
_CONDEMN: Final = {old: _move(old, CONDEMNED, lease_expires_at=LEASE_CLOCK) for old in _CONDEMNABLE}
_END_LEASE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.state == CONDEMNED, table.c.claimed_by.is_(None))
    .values(lease_expires_at=LEASE_CLOCK)
)
_CONDEMN_ALL_OF: Final = (
    update(table)
    .where(table.c.image_id == bindparam("image"), table.c.state.in_(_CONDEMNABLE))
    .values(
        state=CONDEMNED, lease_expires_at=case((table.c.state == WRITING, table.c.lease_expires_at), else_=0)
    )
)
_CONDEMN_SOME_OF: Final = _CONDEMN_ALL_OF.where(table.c.state == bindparam("expected"))
_IMAGES_AT: Final = select(table.c.image_id).where(
    table.c.store == bindparam("store"), table.c.place == bindparam("name"), table.c.state != CONDEMNED
)
_SET_DIGESTS: Final = update(table).where(table.c.id == bindparam("key")).values(digests=bindparam("text"))
_SET_METADATA: Final = update(table).where(table.c.id == bindparam("key")).values(metadata=bindparam("text"))
_REMOVE: Final = delete(table).where(table.c.id == bindparam("key"))


async def begin(tx: Transaction, blob: Blob, *, now: int, lease: int, size: int | None = None) -> None:
    """Add the row of a blob that is about to be written; `size` is its declared size in bytes, if known."""
    await tx.execute(_BEGIN, {**_row(blob, now, size), "lease": lease})


async def begin_partial(tx: Transaction, blob: Blob, *, now: int, keep_until: int, size: int) -> None:
    """Add the row of a resumable upload's blob, which is kept until the time `keep_until`."""
    await tx.execute(_ADD, {**_row(blob, now, size), "lease_expires_at": keep_until})


def _row(blob: Blob, now: int, size: int | None) -> dict[str, str | int | None]:
    return {
        "id": blob.id,
        "store": blob.store,
        "image_id": blob.image_id,
        "state": blob.state,
        "size": size,
        "created_at": now,
        "metadata": blob.metadata,
    }


async def adopt(tx: Transaction, blob: Blob, *, size: int, digests: str | None, now: int) -> None:
    """Add the row of a complete blob that another service has written."""
    row = {**msgspec.structs.asdict(blob), "size": size, "digests": digests}
    await tx.execute(_ADD, {**row, "lease_expires_at": 0, "created_at": now})


async def renew(tx: Transaction, blob_id: str, lease: int) -> bool:
    """Renew the lease of a blob being written; return False if a deletion or a sweeper has claimed it."""
    return (await tx.execute(_RENEW, {"key": blob_id, "lease": lease})).rowcount == 1


async def acquire(tx: Transaction, blob_id: str, lease: int) -> bool:
    """Move a partial blob to writing, under a new lease; return False if it is in another state."""
    return (await tx.execute(_ACQUIRE, {"key": blob_id, "lease": lease})).rowcount == 1


async def keep_until(tx: Transaction, blob_id: str, until: int) -> None:
    """Keep a partial or staged blob until a time of day."""
    await tx.execute(_KEEP_UNTIL, {"key": blob_id, "until": until})


async def move(tx: Transaction, blob_id: str, old: str, new: str, until: int = 0) -> bool:
    """Move a blob from one state to another; return False if it is in another state or does not exist.

    `until` is the time of day until which the new state is kept. Raises Conflict for an edge that is not in
    the table of transitions.
    """
    check_transition(old, new)
    return (await tx.execute(_MOVE[old, new], {"key": blob_id, "until": until})).rowcount == 1


async def complete(tx: Transaction, blob_id: str, state: str, *, size: int, digests: str, until: int) -> bool:
    """Move a blob from writing to ready or staged, with its size and digests; False if the lease is lost."""
    row = {"key": blob_id, "size": size, "digests": digests, "until": until}
    return (await tx.execute(_COMPLETE[state], row)).rowcount == 1


async def get(tx: Transaction, blob_id: str) -> Blob | None:
    """Return a blob, or None if it does not exist."""
    row = (await tx.execute(_GET, {"key": blob_id})).first()
    return None if row is None else Blob(*row)


async def condemn(tx: Transaction, blob_id: str, expected: str = WRITING) -> bool:
    """Condemn a blob that is no longer written; return False if it is in another state."""
    return (await tx.execute(_CONDEMN[expected], {"key": blob_id})).rowcount == 1


async def end_lease(tx: Transaction, blob_id: str) -> None:
    """End the lease that a writer still has on a condemned blob; a claim on it stays."""
    await tx.execute(_END_LEASE, {"key": blob_id})


async def condemn_all_of(tx: Transaction, image_id: str, expected: str | None = None) -> None:
    """Condemn every blob of an image, or those in one state."""
    if expected is None:
        await tx.execute(_CONDEMN_ALL_OF, {"image": image_id})
    else:
        await tx.execute(_CONDEMN_SOME_OF, {"image": image_id, "expected": expected})


async def ready_of(tx: Transaction, image_id: str) -> list[Blob]:
    """Return the complete blobs of an image."""
    return [Blob(*row) for row in await tx.execute(_READY_OF, {"image": image_id})]


async def ready_of_many(tx: Transaction, image_ids: Sequence[str]) -> list[Blob]:
    """Return the complete blobs of some images."""
    return [Blob(*row) for row in await tx.execute(_READY_OF_MANY, {"images": list(image_ids)})]


async def staged_of(tx: Transaction, image_id: str) -> tuple[Blob, int, str] | None:
    """Return the staged blob of an image, its size and its digests as JSON; None if there is none."""
    row = (await tx.execute(_STAGED_OF, {"image": image_id})).first()
    return None if row is None else (Blob(*row[:-2]), row[-2], row[-1])


async def renew_all_of(tx: Transaction, image_id: str, lease: int) -> None:
    """Renew the leases of all blobs that are being written for an image."""
    await tx.execute(_RENEW_ALL_OF, {"image": image_id, "lease": lease})


async def images_at(tx: Transaction, store_id: str, place: str) -> list[str]:
    """Return the ids of images that refer to the external data at a place."""
    return [row[0] for row in await tx.execute(_IMAGES_AT, {"store": store_id, "name": place})]


async def set_digests(tx: Transaction, blob_id: str, digests: str) -> None:
    """Store the digests of external data."""
    await tx.execute(_SET_DIGESTS, {"key": blob_id, "text": digests})


async def set_metadata(tx: Transaction, blob_id: str, metadata: str) -> None:
    """Store the metadata of a location."""
    await tx.execute(_SET_METADATA, {"key": blob_id, "text": metadata})


async def all_complete(database: Database) -> AsyncIterator[StoredBlob]:
    """Yield all complete blobs, each once, read in batches."""
    after = ""
    while True:
        async with database.read() as tx:
            rows = (await tx.execute(_ALL_COMPLETE, {"after": after})).all()
        for *blob, digests in rows:
            yield StoredBlob(Blob(*blob), digests)
        if len(rows) < BATCH:
            return
        after = rows[-1][0]


async def counts(tx: Transaction) -> dict[str, int]:
    """Return the number of copies in each store that has any."""
    return {row[0]: row[1] for row in await tx.execute(_COUNTS)}


async def any_in(tx: Transaction, store_id: str) -> bool:
    """Return whether a store has any blob."""
    return (await tx.execute(_ANY_IN, {"store": store_id})).first() is not None


async def sample(tx: Transaction, store_id: str) -> list[tuple[Blob, int | None]]:
    """Return a sample of a store's complete blobs with their sizes, spread over its range of ids."""
    found: dict[str, tuple[Blob, int | None]] = {}
    for number in range(256):
        row = (await tx.execute(_NEXT_IN, {"store": store_id, "after": f"{number:02x}"})).first()
        if row is None:
            break
        blob = Blob(*row[:-1])
        found[blob.id] = (blob, row[-1])
    return list(found.values())


async def unknown(tx: Transaction, keys: list[str]) -> list[str]:
    """Return those of the given keys that no blob has."""
    known = {row[0] for row in await tx.execute(_KNOWN, {"keys": keys})}
    return [key for key in keys if key not in known]


async def expired(database: Database, now: int) -> AsyncIterator[Blob]:
    """Yield the blobs whose lease has expired, the one that expired first first."""
    place = {"since": -1, "after": ""}
    while True:
        async with database.read() as tx:
            rows = (await tx.execute(_EXPIRED, {"now": now, **place})).all()
        for *blob, _lease in rows:
            yield Blob(*blob)
        if len(rows) < BATCH:
            return
        place = {"since": rows[-1][-1], "after": rows[-1][0]}


async def expire(tx: Transaction, blob: Blob, state: str, now: int, until: int = 0) -> bool:
    """Move a blob whose lease has expired; False if the lease was renewed or another process was first.

    Raises Conflict for an edge that is not in the table of transitions.
    """
    check_transition(blob.state, state)
    row = {"key": blob.id, "now": now, "until": until}
    return (await tx.execute(_EXPIRE[blob.state, state], row)).rowcount == 1


async def expire_all(tx: Transaction) -> None:
    """Expire every lease. Call it only when no writer is alive."""
    await tx.execute(_EXPIRE_ALL)


async def remove(tx: Transaction, blob_id: str) -> None:
    """Delete the row of a blob whose data belongs to another service."""
    await tx.execute(_REMOVE, {"key": blob_id})
