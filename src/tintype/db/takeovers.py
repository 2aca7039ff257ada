"""Images that were taken over from another service, as they were there at that time."""

from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from tintype.db.engine import Transaction
from tintype.db.tables import takeovers as table

_GET: Final = select(table.c.updated_at, table.c.members).where(table.c.image_id == bindparam("image_id"))
_ADD: Final = insert(table)
_DELETE: Final = delete(table).where(table.c.image_id == bindparam("key"))
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


class Taken(msgspec.Struct, frozen=True):
    """What an image was like elsewhere: when it was last changed, and its members' answers by project."""

    updated_at: int
    members: dict[str, str]


async def get(tx: Transaction, image_id: str) -> Taken | None:
    """Give what is noted of an image; None where it was not taken over."""
    row = (await tx.execute(_GET, {"image_id": image_id})).first()
    return None if row is None else Taken(row[0], _decode(row[1]))


async def note(tx: Transaction, image_id: str, taken: Taken) -> None:
    """Note an image, in place of what was noted before."""
    await tx.execute(_DELETE, {"key": image_id})
    members = msgspec.json.encode(taken.members).decode()
    row = {"image_id": image_id, "updated_at": taken.updated_at, "members": members}
    await tx.execute(_ADD, row)


async def forget(tx: Transaction, image_id: str) -> None:
    """Delete the note."""
    await tx.execute(_DELETE, {"key": image_id})
