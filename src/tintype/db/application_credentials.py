"""Application credentials of the built-in identity."""

from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Transaction, Violation
from tintype.db.tables import application_credentials as table
from tintype.errors import Conflict, NotFound


class ApplicationCredential(msgspec.Struct, frozen=True):
    """A secret with which a program logs in as a user, to one project."""

    id: str
    user_id: str
    project_id: str
    name: str
    description: str | None
    secret_hash: str
    roles: tuple[str, ...]
    """The roles that its tokens may have, implied ones included."""
    unrestricted: bool
    expires_at: int | None
    """In microseconds since the epoch."""


_ADD: Final = insert(table).on_conflict_do_nothing(index_elements=["user_id", "name"])
_SELECT: Final = select(*(table.c[name] for name in ApplicationCredential.__struct_fields__)).order_by(
    table.c.name
)
_OF_USER: Final = table.c.user_id == bindparam("of_user")
_GET: Final = _SELECT.where(table.c.id == bindparam("key"))
_GET_NAMED: Final = _SELECT.where(_OF_USER, table.c.name == bindparam("named"))
_ALL_OF: Final = _SELECT.where(_OF_USER)
_COUNT: Final = select(func.count()).select_from(table).where(_OF_USER)
_DELETE: Final = delete(table).where(table.c.id == bindparam("key"))
_DELETE_ALL_OF: Final = delete(table).where(_OF_USER)


async def add(tx: Transaction, credential: ApplicationCredential) -> None:
    """Store a credential; raises Conflict if its user already has one of that name.

    Raises NotFound if its user or project no longer exists.
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
    """Return the number of a user's credentials."""
    return int((await tx.execute(_COUNT, {"of_user": user_id})).scalar_one())


async def find(tx: Transaction, credential_id: str) -> ApplicationCredential | None:
    """Return a credential by id, or None if it does not exist."""
    return next(iter(await _read(tx, _GET, {"key": credential_id})), None)


async def find_named(tx: Transaction, user_id: str, name: str) -> ApplicationCredential | None:
    """Return a user's credential by name, or None if it does not exist."""
    return next(iter(await _read(tx, _GET_NAMED, {"of_user": user_id, "named": name})), None)


async def of_user(tx: Transaction, user_id: str) -> list[ApplicationCredential]:
    """Return a user's credentials, sorted by name."""
    return await _read(tx, _ALL_OF, {"of_user": user_id})


async def remove(tx: Transaction, credential_id: str) -> None:
    """Delete a credential."""
    await tx.execute(_DELETE, {"key": credential_id})


async def remove_all(tx: Transaction, user_id: str) -> None:
    """Delete every credential of a user."""
    await tx.execute(_DELETE_ALL_OF, {"of_user": user_id})


async def _read(tx: Transaction, statement: Any, parameters: dict[str, str]) -> list[ApplicationCredential]:
    found = []
    for row in await tx.execute(statement, parameters):
        values = dict(zip(ApplicationCredential.__struct_fields__, row, strict=True))
        values["roles"] = tuple(msgspec.json.decode(values["roles"]))
        values["unrestricted"] = bool(values["unrestricted"])
        found.append(ApplicationCredential(**values))
    return found
