"""Resumable uploads in the database; each has the id of its blob."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from tintype.db.engine import LEASE_CLOCK, Transaction
from tintype.db.tables import images
from tintype.db.tables import uploads as table
from tintype.domain.uploads import Upload


class Hold(msgspec.Struct, frozen=True):
    """Which request has an upload, whether another one wants it, and how long it lasts without a sign."""

    holder: str | None
    wanted: bool
    left: int
    """Microseconds; less than none where it is over."""


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
_HOLD: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.held_until < LEASE_CLOCK)
    .values(holder=bindparam("by"), held_until=LEASE_CLOCK + bindparam("lease"), wanted=False)
)
_WANT: Final = update(table).where(table.c.id == bindparam("key")).values(wanted=True)
_HOLDER: Final = select(
    table.c.holder, table.c.wanted, (table.c.held_until - LEASE_CLOCK).label("left")
).where(table.c.id == bindparam("key"))
_KEEP: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
    .values(held_until=LEASE_CLOCK + bindparam("lease"))
)
_LET_GO: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
    .values(holder=None, held_until=0, wanted=False)
)
_LET_GO_ALL: Final = update(table).values(holder=None, held_until=0, wanted=False)
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
    """Give an image's upload, or None."""
    row = (await tx.execute(_GET, {"key": upload_id, "image": image_id})).first()
    return None if row is None else _from_row(row)


async def of(tx: Transaction, image_id: str) -> list[Upload]:
    """Give the uploads of an image."""
    return [_from_row(row) for row in await tx.execute(_OF, {"image": image_id})]


async def open_of(tx: Transaction, image_id: str) -> int:
    """Give how many uploads of an image are unfinished."""
    return int((await tx.execute(_COUNT, {"image": image_id})).scalar_one())


async def open_of_owner(tx: Transaction, owner: str) -> int:
    """Return how many uploads to a project's images are unfinished."""
    return int((await tx.execute(_COUNT_OF_OWNER, {"owner": owner})).scalar_one())


async def hold(tx: Transaction, upload_id: str, holder: str, lease: int) -> bool:
    """Take an upload for one request alone; False where another has it, which is told that it is wanted."""
    if (await tx.execute(_HOLD, {"key": upload_id, "by": holder, "lease": lease})).rowcount:
        return True
    await tx.execute(_WANT, {"key": upload_id})
    return False


async def hold_of(tx: Transaction, upload_id: str) -> Hold | None:
    """Say which request has an upload; None where there is no such upload."""
    row = (await tx.execute(_HOLDER, {"key": upload_id})).first()
    return None if row is None else Hold(row[0], bool(row[1]), row[2])


async def keep(tx: Transaction, upload_id: str, holder: str, lease: int) -> bool:
    """Hold an upload for longer; False where it was lost."""
    return (await tx.execute(_KEEP, {"key": upload_id, "by": holder, "lease": lease})).rowcount == 1


async def let_go(tx: Transaction, upload_id: str, holder: str) -> None:
    """Let the next request have an upload."""
    await tx.execute(_LET_GO, {"key": upload_id, "by": holder})


async def advance(tx: Transaction, upload: Upload, holder: str) -> bool:
    """Note how many bytes are safe; False where the request has lost the upload, and has nothing to say."""
    row = {"key": upload.id, "by": holder, "reached": upload.offset, "expires": upload.expires_at}
    return (await tx.execute(_ADVANCE, row)).rowcount == 1


async def lock(tx: Transaction, upload_id: str) -> bool:
    """Let nobody else change an upload before the transaction ends; return whether a request holds it."""
    row = (await tx.execute(_LOCK, {"key": upload_id})).first()
    return row is not None and bool(row[0])


async def remove(tx: Transaction, upload_id: str) -> bool:
    """Forget an upload; False where there is none."""
    return (await tx.execute(_REMOVE, {"key": upload_id})).rowcount == 1


async def prune(tx: Transaction, now: int) -> None:
    """Forget finished uploads whose time is over."""
    await tx.execute(_PRUNE, {"now": now})


async def let_go_all(tx: Transaction) -> None:
    """End every hold: for when it is known that no holder lives."""
    await tx.execute(_LET_GO_ALL)


def _from_row(row: Sequence[Any]) -> Upload:
    values = dict(zip(Upload.__struct_fields__, row, strict=True))
    return Upload(**values | {"expected": _decode(values["expected"])})
