"""The images that nodes cache, or have been asked to cache.

`queued`   an operator has asked for it
`fetching` it is being fetched as a whole, with its space reserved; shown as queued until it is ready
`filling`  downloads fill it, chunk by chunk, with its space reserved
`ready`    it is complete, and its digest has been verified
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_once  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Transaction
from tintype.db.tables import cached_images as table
from tintype.db.tables import images

QUEUED: Final = "queued"
FETCHING: Final = "fetching"
FILLING: Final = "filling"
READY: Final = "ready"
WAITING: Final = (QUEUED, FETCHING)
"""The states that are shown as queued."""


class Entry(msgspec.Struct, frozen=True):
    """A cached image on a node. Sizes are in bytes, times in microseconds since the epoch."""

    node: str
    image_id: str
    digest: str
    """Algorithm and value, joined by a dash."""
    size: int
    state: str
    hits: int
    accessed_at: int
    created_at: int

    @property
    def is_whole(self) -> bool:
        """Return whether it can be read without its store."""
        return self.state == READY


_SELECT: Final = select(*(table.c[name] for name in Entry.__struct_fields__))
_KEY: Final = (table.c.node == bindparam("of"), table.c.image_id == bindparam("image"))
_GET: Final = _SELECT.where(*_KEY)
_OF: Final = _SELECT.where(table.c.node == bindparam("of")).order_by(table.c.accessed_at, table.c.image_id)
_EXISTING: Final = _OF.where(exists(select(images.c.id).where(images.c.id == table.c.image_id)))
_NODES: Final = (
    select(table.c.node)
    .where(table.c.image_id == bindparam("image"), table.c.state == READY)
    .order_by(table.c.node)
)
_USED_BYTES: Final = select(func.coalesce(func.sum(table.c.size), 0)).where(
    table.c.node == bindparam("of"), table.c.state != QUEUED
)
_PUT: Final = insert_once(table)
_PUT_ONCE: Final = _PUT.on_conflict_do_update(
    index_elements=["node", "image_id"],
    set_={name: _PUT.excluded[name] for name in ("digest", "size", "state", "accessed_at")},
)
_SET: Final = (
    update(table)
    .where(*_KEY, table.c.digest == bindparam("of_digest"), table.c.state.in_((FILLING, FETCHING)))
    .values(state=bindparam("to"))
)
_HIT: Final = (
    update(table).where(*_KEY).values(hits=table.c.hits + bindparam("more"), accessed_at=bindparam("now"))
)
_DELETE: Final = delete(table).where(*_KEY)
_DELETE_STALE: Final = delete(table).where(
    table.c.node == bindparam("of"),
    ~exists(select(images.c.id).where(images.c.id == table.c.image_id)),
)


async def get(tx: Transaction, node: str, image_id: str) -> Entry | None:
    """Return an entry, or None if it does not exist."""
    row = (await tx.execute(_GET, {"of": node, "image": image_id})).first()
    return None if row is None else Entry(*row)


async def list_of(tx: Transaction, node: str) -> list[Entry]:
    """Return the entries of a node, least recently used first."""
    return [Entry(*row) for row in await tx.execute(_OF, {"of": node})]


async def list_existing(tx: Transaction, node: str) -> list[Entry]:
    """Return the entries of a node whose images still exist, least recently used first."""
    return [Entry(*row) for row in await tx.execute(_EXISTING, {"of": node})]


async def nodes_with(tx: Transaction, image_id: str) -> Sequence[str]:
    """Return the nodes that have the complete image."""
    return [row[0] for row in await tx.execute(_NODES, {"image": image_id})]


async def used_bytes(tx: Transaction, node: str) -> int:
    """Return the number of bytes that a node's entries use or have reserved."""
    return int((await tx.execute(_USED_BYTES, {"of": node})).scalar_one())


async def put(tx: Transaction, entry: Entry) -> None:
    """Store an entry, replacing an existing one."""
    row: dict[str, Any] = msgspec.structs.asdict(entry)
    await tx.execute(_PUT_ONCE, row)


async def set_state(tx: Transaction, entry: Entry, state: str) -> bool:
    """Set the state of an entry being filled; False if it is not being filled or has another digest."""
    row = {"of": entry.node, "image": entry.image_id, "of_digest": entry.digest, "to": state}
    return (await tx.execute(_SET, row)).rowcount == 1


async def record_hits(tx: Transaction, node: str, image_id: str, hits: int, now: int) -> None:
    """Add to an entry's hits, and set the time of its last use."""
    await tx.execute(_HIT, {"of": node, "image": image_id, "more": hits, "now": now})


async def remove(tx: Transaction, node: str, image_id: str) -> bool:
    """Delete an entry; return False if it does not exist."""
    return (await tx.execute(_DELETE, {"of": node, "image": image_id})).rowcount == 1


async def remove_deleted(tx: Transaction, node: str) -> None:
    """Delete the entries of images that no longer exist."""
    await tx.execute(_DELETE_STALE, {"of": node})
