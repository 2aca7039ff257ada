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
from tintype.domain.identity import FailedLogins
from tintype.errors import Conflict


class User(msgspec.Struct, frozen=True):
    """A person or a program that logs in."""

    id: str
    name: str
    password_hash: str
    """Empty for a user without a password, who cannot log in with one."""
    enabled: bool
    tokens_valid_from: int
    description: str | None = None
    email: str | None = None
    default_project_id: str | None = None


class Project(msgspec.Struct, frozen=True):
    """A project, which owns images."""

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
"""Sets the columns that the parameters name, as does _CHANGE_PROJECT."""
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
_DELETE_FAILURES: Final = delete(failed_logins).where(_OF_KEY)


class Delegation(msgspec.Struct, frozen=True):
    """The application credential that a token was issued for."""

    id: str
    name: str
    roles: frozenset[str]
    """The roles that the token may have, implied ones included."""
    unrestricted: bool
    """Whether the token may create and delete application credentials."""


class Standing(msgspec.Struct, frozen=True):
    """Everything that decides whether a token is still valid, read in one statement."""

    user: User
    project_id: str | None
    project_name: str | None
    project_enabled: bool
    granted: frozenset[str]
    revoked: bool
    limits: str
    """Of the project, as JSON."""
    delegation: Delegation | None
    """None for a token not issued for an application credential, and if the credential has been deleted."""


async def standing(
    tx: Transaction, user_id: str, project_id: str | None, token_id: str, credential_id: str | None
) -> Standing | None:
    """Return the current rights of a token's user in a project; None if the user does not exist."""
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
    """Return a user by id or by name, or None if there is none."""
    statement = _USER_BY_NAME if user_id is None else _USER_BY_ID
    row = (await tx.execute(statement, {"named": name} if user_id is None else {"key": user_id})).first()
    return None if row is None else User(*row)


async def find_project(
    tx: Transaction, *, project_id: str | None = None, name: str | None = None
) -> Project | None:
    """Return a project by id or by name, or None if there is none."""
    statement = _PROJECT_BY_NAME if project_id is None else _PROJECT_BY_ID
    row = (
        await tx.execute(statement, {"named": name} if project_id is None else {"key": project_id})
    ).first()
    return None if row is None else Project(*row)


async def all_users(tx: Transaction) -> list[User]:
    """Return every user, sorted by name."""
    return [User(*row) for row in await tx.execute(_USERS)]


async def all_projects(tx: Transaction) -> list[Project]:
    """Return every project, sorted by name."""
    return [Project(*row) for row in await tx.execute(_PROJECTS)]


async def projects_of(tx: Transaction, user_id: str) -> list[Project]:
    """Return the enabled projects in which a user has a role, sorted by name."""
    return [Project(*row) for row in await tx.execute(_PROJECTS_OF, {"of_user": user_id})]


async def assignments(
    tx: Transaction, *, user_id: str | None = None, project_id: str | None = None, role: str | None = None
) -> list[Assignment]:
    """Return role assignments in order: all of them, or those of a user, a project or a role."""
    wanted = {"user_id": user_id, "project_id": project_id, "role": role}
    values = {name: value for name, value in wanted.items() if value is not None}
    return [Assignment(*row) for row in await tx.execute(_select_assignments(tuple(values)), values)]


@functools.cache
def _select_assignments(filters: tuple[str, ...]) -> Select[Any]:
    """Return the statement that filters the grants by these columns."""
    return _ASSIGNMENTS.where(*(grants.c[name] == bindparam(name) for name in filters))


async def add_user(tx: Transaction, user: User) -> None:
    """Store a user; raises Conflict if the name is taken."""
    await _add(tx, _ADD_USER, user, f"There is a user named {user.name} already.")


async def add_project(tx: Transaction, project: Project) -> None:
    """Store a project; raises Conflict if the name is taken."""
    await _add(tx, _ADD_PROJECT, project, f"There is a project named {project.name} already.")


async def change_user(tx: Transaction, user_id: str, **values: Any) -> None:
    """Set columns of a user; raises Conflict if a new name is taken."""
    await _change(
        tx, _CHANGE_USER, {"key": user_id, **values}, f"There is a user named {values.get('name')} already."
    )


async def change_project(tx: Transaction, project_id: str, **values: Any) -> None:
    """Set columns of a project; raises Conflict if a new name is taken."""
    taken = f"There is a project named {values.get('name')} already."
    await _change(tx, _CHANGE_PROJECT, {"key": project_id, **values}, taken)


async def remove_user(tx: Transaction, user_id: str) -> None:
    """Delete a user and their roles."""
    await tx.execute(_DELETE_USER, {"key": user_id})


async def limits(tx: Transaction, project_id: str) -> str:
    """Return a project's limits as JSON."""
    return str((await tx.execute(_LIMITS, {"key": project_id})).scalar_one())


async def set_limits(tx: Transaction, project_id: str, limits: str) -> None:
    """Set a project's limits."""
    await tx.execute(_CHANGE_PROJECT, {"key": project_id, "limits": limits})


async def remove_project(tx: Transaction, project_id: str) -> None:
    """Delete a project and its role assignments."""
    await tx.execute(_DELETE_PROJECT, {"key": project_id})


async def grant(tx: Transaction, user_id: str, project_id: str, role: str) -> bool:
    """Grant a user a role in a project; return False if the user already has it."""
    row = {"user_id": user_id, "project_id": project_id, "role": role}
    return (await tx.execute(_GRANT, row)).rowcount == 1


async def withdraw(tx: Transaction, user_id: str, project_id: str, role: str) -> bool:
    """Withdraw a role in a project from a user; return False if the user does not have it."""
    row = {"of_user": user_id, "in_project": project_id, "named": role}
    return (await tx.execute(_WITHDRAW, row)).rowcount == 1


async def revoke(tx: Transaction, token_id: str, expires_at: int) -> None:
    """Revoke a token; the record is kept until the token would have expired."""
    await tx.execute(_REVOKE, {"id": token_id, "expires_at": expires_at})


async def failures(tx: Transaction, key: str) -> FailedLogins:
    """Return the record of failed attempts under a key."""
    row = (await tx.execute(_FAILURES, {"the_key": key})).first()
    return FailedLogins(0, 0) if row is None else FailedLogins(*row)


async def lock_failures(tx: Transaction, key: str) -> FailedLogins:
    """Return the record and lock it, so that each of several parallel attempts counts."""
    await tx.execute(_FIRST_FAILURE, {"key": key, "count": 0, "not_before": 0})
    return FailedLogins(*(await tx.execute(_LOCK_FAILURES, {"the_key": key})).one())


async def set_failures(tx: Transaction, key: str, failed: FailedLogins) -> None:
    """Store the record of failed attempts, or delete it if there are none."""
    if failed.count:
        await tx.execute(_SET_FAILURES, {"the_key": key, "n": failed.count, "moment": failed.not_before})
    else:
        await tx.execute(_DELETE_FAILURES, {"the_key": key})


async def prune(tx: Transaction, now: int, failures_before: int) -> None:
    """Delete records that have expired."""
    await tx.execute(_PRUNE_REVOKED, {"moment": now})
    await tx.execute(_PRUNE_FAILURES, {"moment": failures_before})


async def secret(tx: Transaction, name: str) -> str | None:
    """Return a secret that all processes share, or None if it does not exist."""
    row = (await tx.execute(_SECRET, {"named": name})).first()
    return None if row is None else str(row[0])


async def set_secret(tx: Transaction, name: str, value: str) -> bool:
    """Store a secret that all processes share; return False if another process was first."""
    return (await tx.execute(_SET_SECRET, {"name": name, "value": value})).rowcount == 1


async def remove_secret(tx: Transaction, name: str) -> None:
    """Delete a secret."""
    await tx.execute(_DELETE_SECRET, {"named": name})


async def _add(tx: Transaction, statement: Executable, record: msgspec.Struct, taken: str) -> None:
    await _change(tx, statement, msgspec.structs.asdict(record), taken)


async def _change(tx: Transaction, statement: Executable, row: dict[str, Any], taken: str) -> None:
    try:
        await tx.execute(statement, row)
    except Violation:
        raise Conflict(taken) from None
