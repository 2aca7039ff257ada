"""Migrate a database to the schema of this code, or report why that is impossible."""

import asyncio
import itertools
import re
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import create_engine, delete, event, insert, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tintype.db.tables import ONLY, metadata, secrets
from tintype.errors import StartError
from tintype.extras import missing

HEAD: Final = "0013"
"""The newest revision. A test compares it with the migrations; so a normal start need not load alembic."""
_BRIDGE: Final = "the wheel in tests/previous of the source tree (0.1.0)"
"""The version that migrates databases older than the initial revision up to it."""
_OLDEST: Final = "oldest schema whose code works with this one"
SCRIPTS: Final = Path(__file__).parent / "migrations"
_CONNECT_SECONDS: Final = 10
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'tintype' AND pid <> pg_backend_pid()"
)
_LOCK: Final = 7468837
"""The PostgreSQL advisory lock of the process that migrates."""

T = TypeVar("T")


class State(msgspec.Struct, frozen=True):
    """The migration state of a database."""

    revision: str | None
    newest: str
    """The revision that this version of the code needs."""
    contractions: tuple[str, ...]
    """Migrations that may be applied once no process of an older version is running."""
    behind: bool = False
    """Whether the next start will migrate the database."""
    refusal: str = ""
    """Why this version of the code cannot use the database; empty if it can."""


def upgrade(url: str, *, contract: bool = False) -> None:
    """Apply all missing migrations, in one transaction.

    Trailing migrations that remove what older code still uses are applied only with `contract`. Raises
    StartError if the database cannot be opened or written, or is newer than this code.
    """
    _run(url, lambda connection: _migrate(connection, contract=contract), alone=True)


def state(url: str, seconds: int = _CONNECT_SECONDS) -> State:
    """Return the state of a database; raises StartError if it cannot be opened within so many seconds."""
    return _run(url, _state, seconds=seconds)


def check(url: str) -> list[str]:
    """Return a line for each difference from the schema that the migrations make."""
    return _run(url, _differences)


def count_connections(url: str) -> int:
    """Return the number of connections of Tintype's processes to PostgreSQL, as far as it shows them."""
    return _run(url, lambda connection: int(connection.execute(text(_OTHERS)).scalar_one()))


def _run(
    url: str, work: Callable[[Connection], T], *, alone: bool = False, seconds: int = _CONNECT_SECONDS
) -> T:
    """Run `work` on the database; with `alone`, as the only process that changes its tables."""
    try:
        if url.startswith("sqlite"):
            return _with_sqlite(url, work, alone=alone)
        return asyncio.run(_with_postgres(url, work, alone=alone, seconds=seconds))
    except (DBAPIError, OSError, TimeoutError, ValueError, OverflowError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        if isinstance(error, (ValueError, OverflowError)):  # its text may quote the URL
            reason = "its URL cannot be read; percent-encode special characters of the password (%40 for @)"
        shown = re.sub(r"//.*@|\?.*", "//…@" if "@" in url else "", url.partition("?")[0])
        raise StartError(f"Cannot use the database {shown}: {reason}.") from error


def _with_sqlite(url: str, work: Callable[[Connection], T], *, alone: bool) -> T:
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine, "connect", _disable_implicit_commit)
    begin = "BEGIN IMMEDIATE" if alone else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    try:
        with engine.begin() as connection:
            return work(connection)
    finally:
        engine.dispose()


async def _with_postgres(url: str, work: Callable[[Connection], T], *, alone: bool, seconds: int) -> T:
    try:
        import asyncpg
        import greenlet  # noqa: F401 (SQLAlchemy imports it when it is needed, and says less when it is missing)
        from sqlalchemy.ext.asyncio import create_async_engine
    except ImportError as error:
        raise missing("PostgreSQL", "postgres", error) from None

    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        async_creator=lambda: asyncpg.connect(url, timeout=seconds),
    )
    try:
        async with engine.begin() as connection:
            if alone:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                await connection.execute(text("SET LOCAL lock_timeout = '10s'"))  # others queue behind it
            return await connection.run_sync(work)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise OSError(str(error)) from error
    finally:
        await engine.dispose()


def _disable_implicit_commit(connection: sqlite3.Connection, _record: object) -> None:
    """Disable the implicit commit of Python's driver before each CREATE: migrations must be atomic."""
    connection.isolation_level = None


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(found) > 1:
        raise StartError(f"The database says that it has several schemas: {', '.join(sorted(found))}.")
    return found[0] if found else None


def _migrate(connection: Connection, *, contract: bool) -> None:
    if not contract and _revision(connection) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    script = ScriptDirectory.from_config(config)
    try:
        known = {each.revision for each in script.walk_revisions()}
        if _revision(connection) in known | {None}:
            if contract or _revision(connection) not in _contractions(script):
                command.upgrade(config, "head" if contract else expanded(script))
                _record_oldest(connection, script)
            return
        refusal = _refusal(connection, known)
    except CommandError as error:
        refusal = f"The tables cannot be brought up to date: {error}."
    if refusal:
        raise StartError(refusal)


def _refusal(connection: Connection, known: Collection[str]) -> str:
    """Return why this code cannot use a database; an empty text if it can."""
    revision = _revision(connection)
    if revision is None or revision in known:
        return ""
    if re.fullmatch(r"\d{4}", revision) and "0001" <= revision < min(known):
        return (
            f"The database has schema {revision}, of a development version before the first release. This "
            f"version upgrades from {min(known)} on. Bring it there with `tintype db upgrade` of {_BRIDGE}, "
            "then start this one."
        )
    if not re.fullmatch(r"\d{4}", revision) or revision <= HEAD:
        return (
            f"The database says that it has schema {revision!r}, which no version of Tintype has: its table "
            f"alembic_version was changed by hand, or is another program's. Versions up to this one have "
            f"{min(known)} to {HEAD}."
        )
    if (_oldest(connection) or "~") <= HEAD:
        return ""  # a newer version has only added to it, as when the previous version is started again
    return (
        f"The database has schema {revision}, which this version of Tintype does not know: it was made by a "
        f"newer one. Install that, or use another data folder."
    )


def _record_oldest(connection: Connection, script: Any) -> None:
    """Record the oldest schema whose code can use this one: that of the last applied contraction."""
    revision = _revision(connection) or ""
    taken = [each for each in script.walk_revisions() if each.module.phase == "contract"]
    first = min(each.revision for each in script.walk_revisions())
    oldest = max((each.revision for each in taken if each.revision <= revision), default=first)
    connection.execute(delete(secrets).where(secrets.c.name == _OLDEST))
    connection.execute(insert(secrets).values(name=_OLDEST, value=oldest))


def _oldest(connection: Connection) -> str | None:
    if not inspect(connection).has_table(secrets.name):
        raise StartError("This is not a database of Tintype.")
    return connection.execute(select(secrets.c.value).where(secrets.c.name == _OLDEST)).scalar_one_or_none()


def expanded(script: Any) -> str:
    """Return the newest revision that older code can still use."""
    left = _contractions(script)
    return next(str(each.revision) for each in script.walk_revisions() if each.revision not in left)


def _contractions(script: Any) -> list[str]:
    """Return the trailing migrations that only remove something, newest first."""
    revisions = script.walk_revisions()
    takes_away = itertools.takewhile(lambda each: each.module.phase == "contract", revisions)
    return [each.revision for each in takes_away]


def _state(connection: Connection) -> State:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(SCRIPTS))
    revision, left = _revision(connection), _contractions(script)
    open_ones = left[: left.index(revision)] if revision in left else left
    known = {each.revision for each in script.walk_revisions()}
    behind = revision is None or (revision in known and revision < expanded(script))
    return State(revision, HEAD, tuple(reversed(open_ones)), behind, _refusal(connection, known))


def _differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    def belongs(thing: Any, *_about: object) -> bool:
        return bool(thing.info.get(ONLY, connection.dialect.name) == connection.dialect.name)

    found = []
    if (revision := _revision(connection)) not in {HEAD, *_contractions(ScriptDirectory(str(SCRIPTS)))}:
        found.append(f"schema {revision} instead of {HEAD}")
    context = MigrationContext.configure(connection, opts={"include_object": belongs})
    found += [f"schema: {difference}" for difference in compare_metadata(context, metadata)]
    if connection.dialect.name == "sqlite":
        for statement in ("PRAGMA integrity_check", "PRAGMA foreign_key_check"):
            rows = connection.exec_driver_sql(statement).all()
            found += [f"{statement[7:]}: {' '.join(map(str, row))}" for row in rows if row[0] != "ok"]
    return found
