"""Application credentials of the built-in identity."""

from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Transaction, Violation
from tintype.db.tables import application_credentials as table
from tintype.errors import Conflict, NotFound


class ApplicationCredential(msgspec.Struct, frozen=True):
    """A secret by which a program logs in for a user, to one project."""

    id: str
    user_id: str
    project_id: str
    name: str
    description: str | None
    secret_hash: str
    roles: tuple[str, ...]
    """All that its tokens may have, implied ones included."""
    unrestricted: bool
    expires_at: int | None
    """In microseconds since the epoch."""


_ADD: Final = insert(table).on_conflict_do_nothing(index_elements=["user_id", "name"])
_COLUMNS: Final = tuple(table.c[name] for name in ApplicationCredential.__struct_fields__)


async def add(tx: Transaction, credential: ApplicationCredential) -> None:
    """Store a credential; raises Conflict where its user has one of that name.

    Raises NotFound where its user or project do not exist any more.
    """
    values = msgspec.structs.asdict(credential)
    values["roles"] = msgspec.json.encode(credential.roles).decode()
    try:
        added = (await tx.execute(_ADD, values)).rowcount == 1
    except Violation:
        raise NotFound("The user or the project of the application credential was deleted.") from None
    if not added:
        raise Conflict(f"There is an application credential named {credential.name} already.")


async def count_of(tx: Transaction, user_id: str) -> int:
    """Return how many credentials a user has."""
    counted = select(func.count()).select_from(table).where(table.c.user_id == user_id)
    return int((await tx.execute(counted)).scalar_one())


async def find(tx: Transaction, credential_id: str) -> ApplicationCredential | None:
    """Return a credential."""
    return next(iter(await _those(tx, table.c.id == credential_id)), None)


async def find_named(tx: Transaction, user_id: str, name: str) -> ApplicationCredential | None:
    """Return a user's credential of a name."""
    return next(iter(await _those(tx, table.c.user_id == user_id, table.c.name == name)), None)


async def of_user(tx: Transaction, user_id: str) -> list[ApplicationCredential]:
    """Return a user's credentials, by name."""
    return await _those(tx, table.c.user_id == user_id)


async def remove(tx: Transaction, credential_id: str) -> None:
    """Delete a credential."""
    await tx.execute(delete(table).where(table.c.id == credential_id))


async def remove_all(tx: Transaction, user_id: str) -> None:
    """Delete every credential of a user."""
    await tx.execute(delete(table).where(table.c.user_id == user_id))


async def _those(tx: Transaction, *conditions: Any) -> list[ApplicationCredential]:
    found = []
    for row in await tx.execute(select(*_COLUMNS).where(*conditions).order_by(table.c.name)):
        values = dict(zip(ApplicationCredential.__struct_fields__, row, strict=True))
        values["roles"] = tuple(msgspec.json.decode(values["roles"]))
        values["unrestricted"] = bool(values["unrestricted"])
        found.append(ApplicationCredential(**values))
    return found
