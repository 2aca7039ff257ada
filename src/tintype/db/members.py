"""With whom images are shared."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from tintype.db.engine import Transaction
from tintype.db.tables import image_members as table
from tintype.domain.members import Member

_OF_IMAGE: Final = (
    select(table)
    .where(table.c.image_id == bindparam("image_id"))
    .order_by(table.c.created_at, table.c.member_id)
)
_ONE: Final = select(table).where(
    table.c.image_id == bindparam("image_id"), table.c.member_id == bindparam("member_id")
)
_OF_PROJECT: Final = (
    select(table)
    .where(table.c.member_id == bindparam("member_id"))
    .order_by(table.c.status != "pending", table.c.created_at.desc(), table.c.image_id)
    .limit(bindparam("most"))
)
_COUNT: Final = select(func.count()).where(table.c.image_id == bindparam("image_id"))
_ADD: Final = insert(table)
_UPDATE: Final = (
    update(table)
    .where(table.c.image_id == bindparam("image"), table.c.member_id == bindparam("member"))
    .values(status=bindparam("status"), updated_at=bindparam("updated_at"))
)
_DELETE: Final = delete(table).where(
    table.c.image_id == bindparam("image"), table.c.member_id == bindparam("member")
)


async def of_image(tx: Transaction, image_id: str) -> list[Member]:
    """Give the members of an image, oldest first."""
    return [_from_row(row) for row in await tx.execute(_OF_IMAGE, {"image_id": image_id})]


async def of_project(tx: Transaction, project_id: str, most: int) -> list[Member]:
    """Return what is shared with a project: what it has not answered first, then the newest."""
    rows = await tx.execute(_OF_PROJECT, {"member_id": project_id, "most": most})
    return [_from_row(row) for row in rows]


async def get(tx: Transaction, image_id: str, member_id: str) -> Member | None:
    """Give one member, or None."""
    row = (await tx.execute(_ONE, {"image_id": image_id, "member_id": member_id})).first()
    return None if row is None else _from_row(row)


async def count(tx: Transaction, image_id: str) -> int:
    """Give the number of projects that an image is shared with."""
    return int((await tx.execute(_COUNT, {"image_id": image_id})).scalar_one())


async def add(tx: Transaction, member: Member) -> None:
    """Store a new member."""
    await tx.execute(_ADD, msgspec.structs.asdict(member))


async def set_status(tx: Transaction, member: Member) -> bool:
    """Store a member's answer; False where it is no member any more."""
    row = {
        "image": member.image_id,
        "member": member.member_id,
        "status": member.status,
        "updated_at": member.updated_at,
    }
    return (await tx.execute(_UPDATE, row)).rowcount == 1


async def remove(tx: Transaction, image_id: str, member_id: str) -> bool:
    """Delete a member; False where there was none."""
    return (await tx.execute(_DELETE, {"image": image_id, "member": member_id})).rowcount == 1


def _from_row(row: Sequence[Any]) -> Member:
    return Member(*row)
