"""The members of images: the projects they are shared with."""

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
    """Return the members of an image, oldest first."""
    return [_from_row(row) for row in await tx.execute(_OF_IMAGE, {"image_id": image_id})]


async def of_project(tx: Transaction, project_id: str, most: int) -> list[Member]:
    """Return the memberships of a project: pending ones first, then newest first."""
    rows = await tx.execute(_OF_PROJECT, {"member_id": project_id, "most": most})
    return [_from_row(row) for row in rows]


async def get(tx: Transaction, image_id: str, member_id: str) -> Member | None:
    """Return one member, or None if it does not exist."""
    row = (await tx.execute(_ONE, {"image_id": image_id, "member_id": member_id})).first()
    return None if row is None else _from_row(row)


async def count(tx: Transaction, image_id: str) -> int:
    """Return the number of an image's members."""
    return int((await tx.execute(_COUNT, {"image_id": image_id})).scalar_one())


async def add(tx: Transaction, member: Member) -> None:
    """Store a new member."""
    await tx.execute(_ADD, msgspec.structs.asdict(member))


async def set_status(tx: Transaction, member: Member) -> bool:
    """Store a member's status; return False if it is no longer a member."""
    row = {
        "image": member.image_id,
        "member": member.member_id,
        "status": member.status,
        "updated_at": member.updated_at,
    }
    return (await tx.execute(_UPDATE, row)).rowcount == 1


async def remove(tx: Transaction, image_id: str, member_id: str) -> bool:
    """Delete a member; return False if it does not exist."""
    return (await tx.execute(_DELETE, {"image": image_id, "member": member_id})).rowcount == 1


def _from_row(row: Sequence[Any]) -> Member:
    return Member(*row)
