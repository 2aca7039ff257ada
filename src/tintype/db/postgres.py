"""PostgreSQL through asyncpg: a pool, transactions, notifications.

SQLAlchemy writes the SQL (compiled.py), asyncpg runs it; docs/explanation/decisions/0017 says why.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

import asyncpg
from sqlalchemy import Executable

from tintype.db.batching import QueryBatcher
from tintype.db.compiled import compile_statement
from tintype.db.driver import CONNECTION_ERRORS, OPTIONS, SETTINGS, TIMEOUT_SECONDS, map_driver_errors
from tintype.db.engine import Parameters, Rows, Transaction
from tintype.db.lookups import Lookup
from tintype.db.statements import WAITING, Statements
from tintype.domain.turns import Bounds
from tintype.errors import Unavailable

_TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_JOBS: Final = "tintype_jobs"
"""The channel on which the trigger `job_waits` notifies."""
_RECONNECT_SECONDS: Final = 2.0
_log: Final = logging.getLogger("tintype.postgres")


class Postgres:
    """A PostgreSQL database: up to `connections` connections of this process, opened as they are needed."""

    def __init__(self, url: str, *, connections: int, waiting: Bounds = WAITING) -> None:
        """Create it; `waiting` bounds the statements of new shapes that wait to be compiled."""
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._statements = Statements(compile_statement, waiting)
        self._batchers: dict[Lookup, QueryBatcher] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Yield a connection. Each statement sees its own snapshot."""
        with map_driver_errors():
            connection = await self._acquire()
        try:
            yield _Connection(connection, self._statements)
        finally:
            await self._release(connection)

    async def first(self, lookup: Lookup, parameters: Mapping[str, str | None]) -> Any:
        """Run a lookup, batched with others that come while the server is busy with it."""
        batcher = self._batchers.get(lookup)
        if batcher is None:
            batcher = self._batchers[lookup] = QueryBatcher(self._url, lookup)
        return await batcher.first(parameters)

    @contextlib.asynccontextmanager
    async def write(
        self,
        *,
        durable: bool = False,  # noqa: ARG002 (all are)
        single: bool = False,
        turn: str | None = None,
    ) -> AsyncIterator[Transaction]:
        """Commit at the end; raises Unavailable if the server does not answer."""
        if turn is None and single:  # without BEGIN the server commits each statement: two round trips fewer
            async with self.read() as tx:
                yield tx
        elif turn is None:
            async with self._transaction() as tx:
                yield tx
        else:  # wait for the turn before acquiring a connection, which others can use meanwhile
            async with self._in_turn(turn), self._transaction() as tx:
                with map_driver_errors():
                    await tx.connection.execute(_TAKE_TURN, turn)
                yield tx

    @contextlib.asynccontextmanager
    async def _in_turn(self, name: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable("Too much is being done for this project at once.", retry_after=1) from None
        try:
            yield
        finally:
            lock.release()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> "AsyncIterator[_Connection]":
        with map_driver_errors():
            connection = await self._acquire()
        try:
            try:
                with map_driver_errors():
                    await connection.execute("BEGIN")
                yield _Connection(connection, self._statements)
                with map_driver_errors():
                    await connection.execute("COMMIT")
            except BaseException:
                await self._roll_back(connection)
                raise
        finally:
            await self._release(connection)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` for each notification, over a connection of its own that is renewed when it is lost.

        An outage is logged once, however many attempts to reconnect fail.
        """
        is_logged = False
        while True:
            lost = asyncio.Event()
            connection: Any = None
            reason = "closed by the server"
            try:
                connection = await asyncpg.connect(self._url, **OPTIONS)
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await connection.add_listener(_JOBS, lambda *_notification: wake())
                wake()  # for jobs added while not listening
                is_logged = False
                await lost.wait()
            except CONNECTION_ERRORS as error:
                reason = type(error).__name__
            finally:
                if connection is not None:
                    connection.terminate()
            if not is_logged:
                _log.error("the connection for job notifications was lost: %s; reconnecting", reason)
                is_logged = True
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def close(self) -> None:
        """Close every connection."""
        self._statements.close()
        for batcher in self._batchers.values():
            batcher.close()
        if self._pool is not None:
            self._pool.terminate()

    async def _acquire(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=0,
                        max_size=self._connections - 2,  # the batcher and the listener have one each
                        max_inactive_connection_lifetime=0,
                        reset=_keep_session,
                        **OPTIONS,
                        init=_configure,
                    )
        return await self._pool.acquire(timeout=TIMEOUT_SECONDS)

    async def _release(self, connection: Any) -> None:
        if self._pool is not None:
            with contextlib.suppress(*CONNECTION_ERRORS):
                await self._pool.release(connection)

    @staticmethod
    async def _roll_back(connection: Any) -> None:
        """Roll back, or else close the connection: the next user must find nothing of the transaction."""
        rolling: asyncio.Future[Any] | None = None
        try:
            rolling = asyncio.ensure_future(connection.execute("ROLLBACK"))
            await asyncio.shield(rolling)
        except (asyncio.CancelledError, *CONNECTION_ERRORS) as error:  # the caller raises the cause
            with contextlib.suppress(asyncpg.InterfaceError):  # the pool has closed it
                connection.terminate()
            if rolling is not None:
                rolling.cancel()
            if isinstance(error, asyncio.CancelledError):
                raise


class _Connection:
    """A transaction of a use case."""

    def __init__(self, connection: Any, statements: Statements) -> None:
        self.connection = connection
        self.statement = statements.get

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        with map_driver_errors():
            parameters = parameters or {}
            compiled = compile_statement(statement, parameters)
            values = compiled.values(parameters)
            if compiled.returns_rows:
                return _Rows(await self.connection.fetch(compiled.sql, *values), 0)
            status = await self.connection.execute(compiled.sql, *values)
            return _Rows([], int(status.rpartition(" ")[2]))


class _Rows:
    """The rows of a statement, with the methods of SQLAlchemy's results."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        (row,) = self._rows
        return row

    def scalars(self) -> Iterator[Any]:
        return (row[0] for row in self._rows)

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self._rows[0][0] if self._rows else None


async def _configure(connection: Any) -> None:
    await connection.execute(SETTINGS)


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's reset on release, a round trip each time: no session state is left behind."""
