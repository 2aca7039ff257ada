"""Bring a database to the schema of this code, or say why that cannot be."""

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tintype.db.tables import metadata
from tintype.errors import StartError

HEAD: Final = "0004"
"""The newest revision; a test holds it to the migrations, so that a usual start need not load alembic."""
_LOCK: Final = 7468837
"""Held in PostgreSQL by the one process that migrates."""


def upgrade(url: str) -> None:
    """Apply the migrations that are missing, all or none of them.

    Raises StartError where the database cannot be opened or written, or is newer than this code.
    """
    try:
        if url.startswith("sqlite"):
            _upgrade_sqlite(url)
        else:
            asyncio.run(_upgrade_postgres(url))
    except (DBAPIError, OSError, TimeoutError, ValueError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        if isinstance(error, ValueError):  # its words may quote the URL
            reason = "its URL cannot be read; what is special in a password is written as %40 for @"
        shown = re.sub(r"//.*@|\?.*", "//…@" if "@" in url else "", url.partition("?")[0])
        raise StartError(f"Cannot use the database {shown}: {reason}.") from error


def _upgrade_sqlite(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            _upgrade(connection)
    finally:
        engine.dispose()


async def _upgrade_postgres(url: str) -> None:
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=lambda: asyncpg.connect(url, timeout=10)
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.run_sync(_upgrade)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise OSError(str(error)) from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    if _revision(connection) != HEAD:
        _migrate(connection)


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    """Python's driver commits before each CREATE by itself; a migration must hold whole or not at all."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StartError(
            f"The database has schema {_revision(connection)}, which this version of Tintype does not know: "
            f"it was made by a newer one. Install that, or use another data folder."
        ) from error
