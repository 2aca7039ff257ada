"""What nodes keep of images, or are asked to keep.

`queued`   an operator asked for it
`fetching` it is being brought whole, its room is taken; to operators it is queued until it is ready
`filling`  readers bring it, piece by piece; its room is taken
`ready`    it is whole, and was held against its digest
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
"""States of what operators see as queued."""


class Entry(msgspec.Struct, frozen=True):
    """An image on a node. Sizes are bytes, times microseconds since the epoch."""

    node: str
    image_id: str
    digest: str
    """Algorithm and value, with a dash between them."""
    size: int
    state: str
    hits: int
    accessed_at: int
    created_at: int

    @property
    def is_whole(self) -> bool:
        """Say whether readers need no store for it."""
        return self.state == READY


_SELECT: Final = select(*(table.c[name] for name in Entry.__struct_fields__))
_KEY: Final = (table.c.node == bindparam("of"), table.c.image_id == bindparam("image"))
_GET: Final = _SELECT.where(*_KEY)
_OF: Final = _SELECT.where(table.c.node == bindparam("of")).order_by(table.c.accessed_at, table.c.image_id)
_LISTED: Final = _OF.where(exists(select(images.c.id).where(images.c.id == table.c.image_id)))
_NODES: Final = (
    select(table.c.node)
    .where(table.c.image_id == bindparam("image"), table.c.state == READY)
    .order_by(table.c.node)
)
_TAKEN: Final = select(func.coalesce(func.sum(table.c.size), 0)).where(
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
    """Give an entry, or None."""
    row = (await tx.execute(_GET, {"of": node, "image": image_id})).first()
    return None if row is None else Entry(*row)


async def of(tx: Transaction, node: str) -> list[Entry]:
    """Give the entries of a node, the one that was not asked for the longest time first."""
    return [Entry(*row) for row in await tx.execute(_OF, {"of": node})]


async def listed(tx: Transaction, node: str) -> list[Entry]:
    """Return the entries of a node whose image was not deleted, in the same order."""
    return [Entry(*row) for row in await tx.execute(_LISTED, {"of": node})]


async def nodes(tx: Transaction, image_id: str) -> Sequence[str]:
    """Give the nodes that have an image whole."""
    return [row[0] for row in await tx.execute(_NODES, {"image": image_id})]


async def taken(tx: Transaction, node: str) -> int:
    """Give the bytes that a node has given room to."""
    return int((await tx.execute(_TAKEN, {"of": node})).scalar_one())


async def put(tx: Transaction, entry: Entry) -> None:
    """Store an entry, in place of one that there is."""
    row: dict[str, Any] = msgspec.structs.asdict(entry)
    await tx.execute(_PUT_ONCE, row)


async def set_state(tx: Transaction, entry: Entry, state: str) -> bool:
    """Let an entry that was filled have a state; False where it is gone, of other bytes, or not filled."""
    row = {"of": entry.node, "image": entry.image_id, "of_digest": entry.digest, "to": state}
    return (await tx.execute(_SET, row)).rowcount == 1


async def hit(tx: Transaction, node: str, image_id: str, hits: int, now: int) -> None:
    """Note that an entry was read so many times."""
    await tx.execute(_HIT, {"of": node, "image": image_id, "more": hits, "now": now})


async def remove(tx: Transaction, node: str, image_id: str) -> bool:
    """Forget an entry; False where there is none."""
    return (await tx.execute(_DELETE, {"of": node, "image": image_id})).rowcount == 1


async def remove_deleted(tx: Transaction, node: str) -> None:
    """Forget the entries of images that there are no more."""
    await tx.execute(_DELETE_STALE, {"of": node})
