"""Images imported from another service, as they were there at the time of the import."""

from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from tintype.db.engine import Transaction
from tintype.db.tables import takeovers as table

_GET: Final = select(table.c.updated_at, table.c.members).where(table.c.image_id == bindparam("image_id"))
_ADD: Final = insert(table)
_DELETE: Final = delete(table).where(table.c.image_id == bindparam("key"))
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


class TakenOver(msgspec.Struct, frozen=True):
    """The state of an image in the other service: its last change, and its members' statuses by project."""

    updated_at: int
    members: dict[str, str]


async def get(tx: Transaction, image_id: str) -> TakenOver | None:
    """Return the recorded state of an image; None if it was not imported from another service."""
    row = (await tx.execute(_GET, {"image_id": image_id})).first()
    return None if row is None else TakenOver(row[0], _decode(row[1]))


async def record(tx: Transaction, image_id: str, taken: TakenOver) -> None:
    """Record the state of an image, replacing an earlier record."""
    await tx.execute(_DELETE, {"key": image_id})
    members = msgspec.json.encode(taken.members).decode()
    row = {"image_id": image_id, "updated_at": taken.updated_at, "members": members}
    await tx.execute(_ADD, row)


async def remove(tx: Transaction, image_id: str) -> None:
    """Delete the record of an image."""
    await tx.execute(_DELETE, {"key": image_id})
