"""How connections to PostgreSQL are made through asyncpg, and what its errors mean here."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import asyncpg

from tintype.db.engine import Violation, database_unavailable

TIMEOUT_SECONDS: Final = 10.0
"""For a connection, and for the answer to a statement."""
OPTIONS: Final[Mapping[str, Any]] = {
    "statement_cache_size": 1000,  # more than there are constants and kept shapes
    "max_cached_statement_lifetime": 0,
    "timeout": TIMEOUT_SECONDS,
    "command_timeout": TIMEOUT_SECONDS,
}
SETTINGS: Final = "SET application_name = 'tintype'; SET jit = off"
"""Sent once connected: a connection pooler may refuse them as connection parameters."""
CONNECTION_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


@contextlib.contextmanager
def map_driver_errors() -> Iterator[None]:
    """Raise Violation or Unavailable in place of the driver's errors, except for mistakes in our SQL."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Violation(str(error)) from error
    except (asyncpg.DataError, asyncpg.SyntaxOrAccessError):
        raise
    except CONNECTION_ERRORS as error:
        raise database_unavailable() from error
