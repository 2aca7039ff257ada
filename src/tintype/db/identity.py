"""Users, projects and roles of the built-in identity, and its revoked tokens."""

import functools
from typing import Any, Final

import msgspec
from sqlalchemy import Executable, Select, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's, too

from tintype.db.engine import Transaction, Violation
from tintype.db.tables import (
    application_credentials,
    failed_logins,
    grants,
    projects,
    revoked_tokens,
    secrets,
    users,
)
from tintype.domain.logins import FailedLogins
from tintype.errors import Conflict


class User(msgspec.Struct, frozen=True):
    """A person or program that logs in."""

    id: str
    name: str
    password_hash: str
    """Empty for a user who has no password, and so cannot log in with one."""
    enabled: bool
    tokens_valid_from: int
    description: str | None = None
    email: str | None = None
    default_project_id: str | None = None


class Project(msgspec.Struct, frozen=True):
    """What owns images."""

    id: str
    name: str
    description: str
    enabled: bool


class Assignment(msgspec.Struct, frozen=True):
    """A role of a user in a project."""

    user_id: str
    user_name: str
    project_id: str
    project_name: str
    role: str


_USER: Final = tuple(users.c[name] for name in User.__struct_fields__)
_PROJECT: Final = tuple(projects.c[name] for name in Project.__struct_fields__)
_REVOKED: Final = select(revoked_tokens.c.id).where(revoked_tokens.c.id == bindparam("token_id"))
_CREDENTIAL: Final = application_credentials.c
_STANDING: Final = (
    select(
        *(*_USER[:5], projects.c.id, projects.c.name, projects.c.enabled, grants.c.role),
        *(_REVOKED.scalar_subquery(), projects.c.limits),
        *(_CREDENTIAL.id, _CREDENTIAL.name, _CREDENTIAL.roles, _CREDENTIAL.unrestricted),
    )
    .select_from(users)
    .outerjoin(projects, projects.c.id == bindparam("project_id"))
    .outerjoin(grants, (grants.c.user_id == users.c.id) & (grants.c.project_id == projects.c.id))
    .outerjoin(
        application_credentials,
        (_CREDENTIAL.id == bindparam("credential_id"))
        & (_CREDENTIAL.user_id == users.c.id)
        & (_CREDENTIAL.project_id == projects.c.id),
    )
    .where(users.c.id == bindparam("user_id"))
)


_SELECT_USER: Final = select(*_USER)
_USER_BY_ID: Final = _SELECT_USER.where(users.c.id == bindparam("key"))
_USER_BY_NAME: Final = _SELECT_USER.where(users.c.name == bindparam("named"))
_USERS: Final = _SELECT_USER.order_by(users.c.name)
_ADD_USER: Final = insert(users)
_CHANGE_USER: Final = update(users).where(users.c.id == bindparam("key"))
"""Sets the columns that the parameters name; so does _CHANGE_PROJECT."""
_DELETE_USER: Final = delete(users).where(users.c.id == bindparam("key"))
_SELECT_PROJECT: Final = select(*_PROJECT)
_PROJECT_BY_ID: Final = _SELECT_PROJECT.where(projects.c.id == bindparam("key"))
_PROJECT_BY_NAME: Final = _SELECT_PROJECT.where(projects.c.name == bindparam("named"))
_PROJECTS: Final = _SELECT_PROJECT.order_by(projects.c.name)
_PROJECTS_OF: Final = _PROJECTS.where(
    projects.c.id.in_(select(grants.c.project_id).where(grants.c.user_id == bindparam("of_user"))),
    projects.c.enabled,
)
_ADD_PROJECT: Final = insert(projects)
_CHANGE_PROJECT: Final = update(projects).where(projects.c.id == bindparam("key"))
_DELETE_PROJECT: Final = delete(projects).where(projects.c.id == bindparam("key"))
_LIMITS: Final = select(projects.c.limits).where(projects.c.id == bindparam("key"))
_ASSIGNMENTS: Final = (
    select(users.c.id, users.c.name, projects.c.id, projects.c.name, grants.c.role)
    .join(users, users.c.id == grants.c.user_id)
    .join(projects, projects.c.id == grants.c.project_id)
    .order_by(users.c.name, projects.c.name, grants.c.role)
)
_WITHDRAW: Final = delete(grants).where(
    grants.c.user_id == bindparam("of_user"),
    grants.c.project_id == bindparam("in_project"),
    grants.c.role == bindparam("named"),
)
_PRUNE_REVOKED: Final = delete(revoked_tokens).where(revoked_tokens.c.expires_at < bindparam("moment"))
_PRUNE_FAILURES: Final = delete(failed_logins).where(failed_logins.c.not_before < bindparam("moment"))
_SECRET: Final = select(secrets.c.value).where(secrets.c.name == bindparam("named"))
_DELETE_SECRET: Final = delete(secrets).where(secrets.c.name == bindparam("named"))
_GRANT: Final = insert(grants).on_conflict_do_nothing()
_REVOKE: Final = insert(revoked_tokens).on_conflict_do_nothing()
_SET_SECRET: Final = insert(secrets).on_conflict_do_nothing()
_OF_KEY: Final = failed_logins.c.key == bindparam("the_key")
_FAILURES: Final = select(failed_logins.c.count, failed_logins.c.not_before).where(_OF_KEY)
_LOCK_FAILURES: Final = _FAILURES.with_for_update()
_FIRST_FAILURE: Final = insert(failed_logins).on_conflict_do_nothing()
_SET_FAILURES: Final = (
    update(failed_logins).where(_OF_KEY).values(count=bindparam("n"), not_before=bindparam("moment"))
)
_FORGET_FAILURES: Final = delete(failed_logins).where(_OF_KEY)


class Delegation(msgspec.Struct, frozen=True):
    """The application credential that a token was issued for."""

    id: str
    name: str
    roles: frozenset[str]
    """All that the token may have, implied ones included."""
    unrestricted: bool
    """Whether the token may create and delete application credentials."""


class Standing(msgspec.Struct, frozen=True):
    """Everything that decides whether a token still holds, from one statement."""

    user: User
    project_id: str | None
    project_name: str | None
    project_enabled: bool
    granted: frozenset[str]
    revoked: bool
    limits: str
    """Of the project, as JSON."""
    delegation: Delegation | None
    """None for a token of the user's own, and for a credential that has been deleted."""


async def standing(
    tx: Transaction, user_id: str, project_id: str | None, token_id: str, credential_id: str | None
) -> Standing | None:
    """Return what a token's user may do in a project now; None where there is no such user."""
    parameters = {
        "user_id": user_id,
        "project_id": project_id,
        "token_id": token_id,
        "credential_id": credential_id,
    }
    rows = (await tx.execute(_STANDING, parameters)).all()
    if not rows:
        return None
    first = rows[0]
    return Standing(
        User(*first[:5]),
        project_id=first[5],
        project_name=first[6],
        project_enabled=bool(first[7]),
        granted=frozenset(row[8] for row in rows if row[8] is not None),
        revoked=first[9] is not None,
        limits=first[10] or "{}",
        delegation=None
        if first[11] is None
        else Delegation(first[11], first[12], frozenset(msgspec.json.decode(first[13])), bool(first[14])),
    )


async def find_user(tx: Transaction, *, user_id: str | None = None, name: str | None = None) -> User | None:
    """Return a user by id or by name."""
    statement = _USER_BY_NAME if user_id is None else _USER_BY_ID
    row = (await tx.execute(statement, {"named": name} if user_id is None else {"key": user_id})).first()
    return None if row is None else User(*row)


async def find_project(
    tx: Transaction, *, project_id: str | None = None, name: str | None = None
) -> Project | None:
    """Return a project by id or by name."""
    statement = _PROJECT_BY_NAME if project_id is None else _PROJECT_BY_ID
    row = (
        await tx.execute(statement, {"named": name} if project_id is None else {"key": project_id})
    ).first()
    return None if row is None else Project(*row)


async def all_users(tx: Transaction) -> list[User]:
    """Give every user, by name."""
    return [User(*row) for row in await tx.execute(_USERS)]


async def all_projects(tx: Transaction) -> list[Project]:
    """Give every project, by name."""
    return [Project(*row) for row in await tx.execute(_PROJECTS)]


async def projects_of(tx: Transaction, user_id: str) -> list[Project]:
    """Give the enabled projects in which a user has a role, by name."""
    return [Project(*row) for row in await tx.execute(_PROJECTS_OF, {"of_user": user_id})]


async def assignments(
    tx: Transaction, *, user_id: str | None = None, project_id: str | None = None, role: str | None = None
) -> list[Assignment]:
    """Return roles of users in projects, in order: all of them, or those of a user, project or role."""
    wanted = {"user_id": user_id, "project_id": project_id, "role": role}
    values = {name: value for name, value in wanted.items() if value is not None}
    return [Assignment(*row) for row in await tx.execute(_select_assignments(tuple(values)), values)]


@functools.cache
def _select_assignments(filters: tuple[str, ...]) -> Select[Any]:
    """Return the statement for filters by these columns of the grants."""
    return _ASSIGNMENTS.where(*(grants.c[name] == bindparam(name) for name in filters))


async def add_user(tx: Transaction, user: User) -> None:
    """Store a user; raises Conflict where the name is taken."""
    await _add(tx, _ADD_USER, user, f"There is a user named {user.name} already.")


async def add_project(tx: Transaction, project: Project) -> None:
    """Store a project; raises Conflict where the name is taken."""
    await _add(tx, _ADD_PROJECT, project, f"There is a project named {project.name} already.")


async def change_user(tx: Transaction, user_id: str, **values: Any) -> None:
    """Set columns of a user; raises Conflict where a new name is taken."""
    await _change(
        tx, _CHANGE_USER, {"key": user_id, **values}, f"There is a user named {values.get('name')} already."
    )


async def change_project(tx: Transaction, project_id: str, **values: Any) -> None:
    """Set columns of a project; raises Conflict where a new name is taken."""
    taken = f"There is a project named {values.get('name')} already."
    await _change(tx, _CHANGE_PROJECT, {"key": project_id, **values}, taken)


async def remove_user(tx: Transaction, user_id: str) -> None:
    """Delete a user and its roles."""
    await tx.execute(_DELETE_USER, {"key": user_id})


async def limits(tx: Transaction, project_id: str) -> str:
    """Give a project's limits as JSON."""
    return str((await tx.execute(_LIMITS, {"key": project_id})).scalar_one())


async def set_limits(tx: Transaction, project_id: str, limits: str) -> None:
    """Set a project's limits."""
    await tx.execute(_CHANGE_PROJECT, {"key": project_id, "limits": limits})


async def remove_project(tx: Transaction, project_id: str) -> None:
    """Delete a project and the roles in it."""
    await tx.execute(_DELETE_PROJECT, {"key": project_id})


async def grant(tx: Transaction, user_id: str, project_id: str, role: str) -> bool:
    """Give a user a role in a project; False where it has it."""
    row = {"user_id": user_id, "project_id": project_id, "role": role}
    return (await tx.execute(_GRANT, row)).rowcount == 1


async def withdraw(tx: Transaction, user_id: str, project_id: str, role: str) -> bool:
    """Take a role from a user; False where it has none."""
    row = {"of_user": user_id, "in_project": project_id, "named": role}
    return (await tx.execute(_WITHDRAW, row)).rowcount == 1


async def revoke(tx: Transaction, token_id: str, expires_at: int) -> None:
    """Make a token void until it would have expired."""
    await tx.execute(_REVOKE, {"id": token_id, "expires_at": expires_at})


async def failures(tx: Transaction, key: str) -> FailedLogins:
    """Give what is known of failed attempts under a key."""
    row = (await tx.execute(_FAILURES, {"the_key": key})).first()
    return FailedLogins(0, 0) if row is None else FailedLogins(*row)


async def lock_failures(tx: Transaction, key: str) -> FailedLogins:
    """Do the same while nobody else can note one: of parallel attempts each counts."""
    await tx.execute(_FIRST_FAILURE, {"key": key, "count": 0, "not_before": 0})
    return FailedLogins(*(await tx.execute(_LOCK_FAILURES, {"the_key": key})).one())


async def set_failures(tx: Transaction, key: str, failed: FailedLogins) -> None:
    """Note failed attempts; none at all deletes the note."""
    if failed.count:
        await tx.execute(_SET_FAILURES, {"the_key": key, "n": failed.count, "moment": failed.not_before})
    else:
        await tx.execute(_FORGET_FAILURES, {"the_key": key})


async def prune(tx: Transaction, now: int, forget_failures_before: int) -> None:
    """Delete notes that no longer matter."""
    await tx.execute(_PRUNE_REVOKED, {"moment": now})
    await tx.execute(_PRUNE_FAILURES, {"moment": forget_failures_before})


async def secret(tx: Transaction, name: str) -> str | None:
    """Give a secret that all processes share, or None."""
    value = (await tx.execute(_SECRET, {"named": name})).scalar_one_or_none()
    return None if value is None else str(value)


async def set_secret(tx: Transaction, name: str, value: str) -> bool:
    """Store a secret that all processes share; False where another one did."""
    return (await tx.execute(_SET_SECRET, {"name": name, "value": value})).rowcount == 1


async def forget_secret(tx: Transaction, name: str) -> None:
    """Delete a secret."""
    await tx.execute(_DELETE_SECRET, {"named": name})


async def _add(tx: Transaction, statement: Executable, record: msgspec.Struct, taken: str) -> None:
    await _change(tx, statement, msgspec.structs.asdict(record), taken)


async def _change(tx: Transaction, statement: Executable, row: dict[str, Any], taken: str) -> None:
    try:
        await tx.execute(statement, row)
    except Violation:
        raise Conflict(taken) from None
