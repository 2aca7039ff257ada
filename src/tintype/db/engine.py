"""One interface to two kinds of database: `async with database.write() as tx: await tx.execute(…)`.

SQLite runs inline in the event loop, because a statement takes 20 to 50 µs, less than a switch to a thread.
Writes start with BEGIN IMMEDIATE. While another process writes, they wait in the event loop, never in the
driver.
"""

import asyncio
import functools
import random
import sqlite3
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Hashable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.functions import FunctionElement

from tintype.db.statements import WAITING, Statements
from tintype.domain.turns import Bounds
from tintype.errors import StartError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Parameters = Mapping[str, Any] | None

_BUSY_SECONDS: Final = 10.0
_STATEMENT_CACHE: Final = 1000


CLOCK: Final = "lease clock"
"""Name of the secret that holds the origin of a SQLite file's clock: the boot id, and an offset."""


class LeaseClock(FunctionElement[int]):
    """The type of LEASE_CLOCK, for which each database has its own SQL."""

    type = sa.BigInteger()
    inherit_cache = True


LEASE_CLOCK: Final = LeaseClock()
"""The clock of leases in microseconds, as an SQL expression; all processes of a database share it.

With PostgreSQL it is the server's time when the statement arrives. With SQLite it is the machine's monotonic
clock, which stops while the machine sleeps and is not affected when the time is set. Its readings are close
to the time of day, which older versions used.
"""


def now() -> int:
    """Return the time of day in microseconds since the epoch, for times that users see and long periods."""
    return time.time_ns() // 1000


@compiles(LeaseClock)
def _machine_clock(*_context: object, **_options: object) -> str:
    return "lease_clock()"


class Violation(Exception):
    """A row would violate a constraint: a name that must be unique, or a reference to another row."""


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """Return the number of changed rows."""

    def __iter__(self) -> Iterator[Any]:
        """Return each row."""

    def all(self) -> Sequence[Any]:
        """Return every row."""

    def first(self) -> Any:
        """Return the first row, or None if there is none."""

    def one(self) -> Any:
        """Return the only row."""

    def scalar_one(self) -> Any:
        """Return the only value."""


class Lookup:
    """A query for one row by parameters that are text or null, which PostgreSQL can answer for many callers.

    The names of its columns must differ.
    """

    def __init__(self, build: Callable[..., sa.Select[Any]], *names: str) -> None:
        """Create it; `build` returns the query with the given expressions in place of the parameters."""
        self.names = names
        self._build = build
        self.single = build(*(sa.bindparam(name) for name in names))
        """The query for one caller."""

    @functools.cached_property
    def batch(self) -> sa.Select[Any]:
        """The query for many callers, whose parameters are arrays of the same names.

        A row is the number of a caller, from 1 on, then the columns of `single`. A caller for whom nothing is
        found has no row.
        """
        arrays = (sa.bindparam(name, type_=sa.ARRAY(sa.Text)) for name in self.names)
        columns = (sa.column(name, sa.Text) for name in self.names)
        unnested = sa.func.unnest(*arrays).table_valued(*columns, with_ordinality="number")
        asked = unnested.render_derived(name="asked")
        found = (
            self._build(*(asked.c[name] for name in self.names))
            .limit(sa.literal_column("1"))
            .lateral("found")
        )
        return sa.select(asked.c.number, *found.c).select_from(asked.join(found, sa.true()))


class Transaction(Protocol):
    """A transaction, as use cases see it."""

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> Rows:
        """Run one statement. Read its rows at once: the next statement may invalidate them.

        Raises Violation, or Unavailable if the database does not answer.
        """

    async def statement(
        self, shape: Hashable, make: Callable[[], sa.Executable], names: Collection[str], *, group: str
    ) -> sa.Executable:
        """Return the statement of a shape, for parameters of these names.

        The first time, `make` builds it and it is compiled, in a thread; groups take turns.
        """


class Database(Protocol):
    """A database, which opens transactions."""

    def read(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that only reads."""

    async def first(self, lookup: Lookup, parameters: Mapping[str, str | None]) -> Any:
        """Return the row that a lookup finds, or None. Concurrent lookups may be batched."""

    def write(
        self, *, durable: bool = False, single: bool = False, turn: str | None = None
    ) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that commits at the end of the block, or rolls back on an exception.

        A `durable` one survives a power failure: bytes in a store may depend on it. A `single` one has
        one statement, and may commit with it. Transactions with the same `turn` run one after the other.
        """

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the database reports that a job waits for a worker; never return."""

    async def close(self) -> None:
        """Close every connection."""


async def fetch(
    database: Database,
    query: Callable[Concatenate[Transaction, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Return the result of one query, in a transaction of its own that only reads."""
    async with database.read() as tx:
        return await query(tx, *args, **kwargs)


class SQLite:
    """A SQLite file, one connection to read and one to write, both used by the event loop only."""

    def __init__(self, path: Path, waiting: Bounds = WAITING) -> None:
        """Create it; `waiting` bounds the statements of new shapes that wait to be compiled."""
        self._reader = _connect(path)
        self._writer = _connect(path)
        self._writing = asyncio.Lock()
        self._read_face = _Inline(self._reader, waiting)
        self._write_face = _Inline(self._writer, waiting)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Yield the reading connection: WAL readers never block. Each statement sees its own snapshot."""
        yield self._read_face

    async def first(self, lookup: Lookup, parameters: Mapping[str, str | None]) -> Any:
        """Run the lookup immediately."""
        return (await self._read_face.execute(lookup.single, parameters)).first()

    @asynccontextmanager
    async def write(
        self,
        *,
        durable: bool = False,
        single: bool = False,  # noqa: ARG002 (all are begun and ended)
        turn: str | None = None,  # noqa: ARG002 (only one is open at a time)
    ) -> AsyncIterator[Transaction]:
        """Commit at the end; raises Unavailable if other processes keep the database busy for ten seconds."""
        deadline = time.monotonic() + _BUSY_SECONDS
        try:
            async with asyncio.timeout(_BUSY_SECONDS):
                await self._writing.acquire()
        except TimeoutError:
            raise Unavailable("The database is busy.", retry_after=1) from None
        try:
            if self._in_transaction():  # an earlier rollback failed
                self._writer.exec_driver_sql("ROLLBACK")
            if durable:
                self._writer.exec_driver_sql("PRAGMA synchronous = FULL")
            await _begin(self._writer, deadline)
            try:
                yield self._write_face
                self._writer.exec_driver_sql("COMMIT")
            except BaseException as error:
                if self._in_transaction():  # after some failures SQLite rolls back by itself
                    self._writer.exec_driver_sql("ROLLBACK")
                if isinstance(error, OperationalError):
                    raise database_unavailable() from error
                raise
        finally:
            try:
                if durable:
                    self._writer.exec_driver_sql("PRAGMA synchronous = NORMAL")
            finally:
                self._writing.release()

    def _in_transaction(self) -> bool:
        connection = self._writer.connection.driver_connection
        return isinstance(connection, sqlite3.Connection) and connection.in_transaction

    async def listen(self, wake: Callable[[], None]) -> None:  # noqa: ARG002
        """Do nothing: a file sends no notifications."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Close both connections."""
        for face in (self._read_face, self._write_face):
            face.statements.close()
        for connection in (self._reader, self._writer):
            connection.close()
            connection.engine.dispose()


class _Inline:
    def __init__(self, connection: Connection, waiting: Bounds) -> None:
        self._connection = connection
        self.statements = Statements(self._compile, waiting)

    async def statement(
        self, shape: Hashable, make: Callable[[], sa.Executable], names: Collection[str], *, group: str
    ) -> sa.Executable:
        return await self.statements.get(shape, make, names, group=group)

    def _compile(self, statement: sa.Executable, names: Collection[str]) -> None:
        """Compile a statement into the engine's cache, which executing it uses."""
        engine = self._connection.engine
        statement._compile_w_cache(  # noqa: SLF001 (what `execute` calls)
            engine.dialect,
            compiled_cache=engine._compiled_cache,  # noqa: SLF001
            column_keys=sorted(names),
        )

    async def execute(self, statement: sa.Executable, parameters: Parameters = None) -> Rows:
        try:
            return self._connection.execute(statement, parameters)
        except OperationalError as error:
            raise database_unavailable() from error
        except IntegrityError as error:
            raise Violation(str(error.orig)) from error


def _connect(path: Path) -> Connection:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"timeout": 0, "check_same_thread": False},
        isolation_level="AUTOCOMMIT",  # transactions are begun and ended by SQLite.write, in plain SQL
        query_cache_size=_STATEMENT_CACHE,
        hide_parameters=True,  # a failure that is logged must not carry secrets
    )
    sa.event.listen(engine, "connect", _prepare)
    try:
        return engine.connect()
    except OperationalError as error:
        raise StartError(f"Cannot open the database {path}: {error.orig}.") from error


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 2000")  # a second process may be switching to WAL just now
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # docs/explanation/decisions/0002
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")  # KiB; the default of 2 MiB is too small for a server
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: each checkpoint syncs, so less often
    offset = _clock_offset(connection)
    connection.create_function("lease_clock", 0, lambda: time.monotonic_ns() // 1000 + offset)
    connection.execute("PRAGMA busy_timeout = 0")


def clock_offset_now() -> int:
    """Return the offset that makes a clock started now show the time of day."""
    return (time.time_ns() - time.monotonic_ns()) // 1000


def _clock_offset(connection: sqlite3.Connection) -> int:
    try:
        found = connection.execute("SELECT value FROM secrets WHERE name = ?", (CLOCK,)).fetchone()
    except sqlite3.OperationalError:  # there are no tables yet
        found = None
    return clock_offset_now() if found is None else int(found[0].rpartition(" ")[2])


async def _begin(connection: Connection, deadline: float) -> None:
    pause = 0.0005
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise database_unavailable() from error
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (jitter, no secret)
            pause = min(pause * 1.5, 0.008)
        else:
            return


def database_unavailable() -> Unavailable:
    """Return the error for a database that does not answer. Chain the cause to it, for the log."""
    return Unavailable("The database does not answer.", retry_after=1)
