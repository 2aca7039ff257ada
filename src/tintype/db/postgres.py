"""PostgreSQL through asyncpg: a pool, transactions, batched lookups, notifications.

SQLAlchemy writes the SQL (compiled.py), asyncpg runs it; docs/explanation/decisions/0017 says why.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Executable

from tintype.db.compiled import compile_statement
from tintype.db.engine import Lookup, Parameters, Rows, Transaction, Violation, database_unavailable
from tintype.db.statements import WAITING, Statements
from tintype.domain.turns import Bounds
from tintype.errors import Unavailable

_TIMEOUT_SECONDS: Final = 10.0
"""For a connection, and for the answer to a statement."""
_OPTIONS: Final[Mapping[str, Any]] = {
    "statement_cache_size": 1000,  # more than there are constants and kept shapes
    "max_cached_statement_lifetime": 0,
    "timeout": _TIMEOUT_SECONDS,
    "command_timeout": _TIMEOUT_SECONDS,
}
_SETTINGS: Final = "SET application_name = 'tintype'; SET jit = off"
"""Sent once connected: a connection pooler may refuse them as connection parameters."""
_CONNECTION_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
_TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_JOBS: Final = "tintype_jobs"
"""The channel on which the trigger `job_waits` notifies."""
_RECONNECT_SECONDS: Final = 2.0
_log: Final = logging.getLogger("tintype.postgres")
_MAX_BATCH: Final = 100
_MAX_WAITING: Final = 10_000
_Parameters = Mapping[str, str | None]
_Request = tuple[_Parameters, asyncio.Future[Any]]


class Postgres:
    """A PostgreSQL database: up to `connections` connections of this process, opened as they are needed."""

    def __init__(self, url: str, *, connections: int, waiting: Bounds = WAITING) -> None:
        """Create it; `waiting` bounds the statements of new shapes that wait to be compiled."""
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._statements = Statements(compile_statement, waiting)
        self._batchers: dict[Lookup, _Batcher] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Yield a connection. Each statement sees its own snapshot."""
        with _map_driver_errors():
            connection = await self._acquire()
        try:
            yield _Connection(connection, self._statements)
        finally:
            await self._release(connection)

    async def first(self, lookup: Lookup, parameters: Mapping[str, str | None]) -> Any:
        """Run a lookup, batched with others that come while the server is busy with it."""
        batcher = self._batchers.get(lookup)
        if batcher is None:
            batcher = self._batchers[lookup] = _Batcher(self._url, lookup)
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
                with _map_driver_errors():
                    await tx.connection.execute(_TAKE_TURN, turn)
                yield tx

    @contextlib.asynccontextmanager
    async def _in_turn(self, name: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable("Too much is being done for this project at once.", retry_after=1) from None
        try:
            yield
        finally:
            lock.release()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> "AsyncIterator[_Connection]":
        with _map_driver_errors():
            connection = await self._acquire()
        try:
            try:
                with _map_driver_errors():
                    await connection.execute("BEGIN")
                yield _Connection(connection, self._statements)
                with _map_driver_errors():
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
                connection = await asyncpg.connect(self._url, **_OPTIONS)
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await connection.add_listener(_JOBS, lambda *_notification: wake())
                wake()  # for jobs added while not listening
                is_logged = False
                await lost.wait()
            except _CONNECTION_ERRORS as error:
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
                        **_OPTIONS,
                        init=lambda connection: connection.execute(_SETTINGS),
                    )
        return await self._pool.acquire(timeout=_TIMEOUT_SECONDS)

    async def _release(self, connection: Any) -> None:
        if self._pool is not None:
            with contextlib.suppress(*_CONNECTION_ERRORS):
                await self._pool.release(connection)

    @staticmethod
    async def _roll_back(connection: Any) -> None:
        """Roll back, or else close the connection: the next user must find nothing of the transaction."""
        rolling: asyncio.Future[Any] | None = None
        try:
            rolling = asyncio.ensure_future(connection.execute("ROLLBACK"))
            await asyncio.shield(rolling)
        except (asyncio.CancelledError, *_CONNECTION_ERRORS) as error:  # the caller raises the cause
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
        with _map_driver_errors():
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

    def scalar_one(self) -> Any:
        return self.one()[0]


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's reset on release, a round trip each time: no session state is left behind."""


class _Batcher:
    """Runs one lookup for many callers. A single request is sent at once; concurrent ones are batched.

    So a busy server gets fewer queries instead of more. They have a connection of their own with generic
    plans: for arrays the server would otherwise plan each query anew, which takes longer than the answer.
    """

    def __init__(self, url: str, lookup: Lookup) -> None:
        self._url = url
        self._single = compile_statement(lookup.single, lookup.names)
        self._batch = compile_statement(lookup.batch, lookup.names)
        self._names = lookup.names
        self._connection: Any = None
        self._busy = False
        self._waiting: list[_Request] = []
        self._task: asyncio.Task[None] | None = None

    async def first(self, parameters: _Parameters) -> Any:
        """Return the row found for these parameters, or None.

        Raises Unavailable if the database does not answer, or too many requests wait.
        """
        if self._busy:
            if len(self._waiting) >= _MAX_WAITING:
                raise database_unavailable()
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append((parameters, answer))
            return await answer
        self._busy = True
        try:
            rows = await self._fetch(self._single.sql, self._single.values(parameters))
            return rows[0] if rows else None
        finally:
            self._continue()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _continue(self) -> None:
        if self._waiting:
            self._task = asyncio.ensure_future(self._run_batch())
        else:
            self._busy = False

    async def _run_batch(self) -> None:
        requests, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
        arrays = {name: [parameters[name] for parameters, _ in requests] for name in self._names}
        try:
            rows = await self._fetch(self._batch.sql, self._batch.values(arrays))
        except Exception as error:  # noqa: BLE001 (each waiting caller gets it)
            _fail(requests, error)
        else:
            found = {row[0]: row[1:] for row in rows}
            for number, (_, answer) in enumerate(requests, 1):
                if not answer.done():
                    answer.set_result(found.get(number))
        finally:
            self._continue()

    async def _fetch(self, sql: str, values: Sequence[Any]) -> Any:
        try:
            with _map_driver_errors():
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await self._connection.fetch(sql, *values)
        except Unavailable as error:  # the waiting requests would fail in the same way
            self.close()
            waiting, self._waiting = self._waiting, []
            _fail(waiting, error)
            raise

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(self._url, **_OPTIONS)
        try:
            await connection.execute(f"{_SETTINGS}; SET plan_cache_mode = force_generic_plan")
        except BaseException:
            connection.terminate()
            raise
        return connection


def _fail(requests: Sequence[_Request], error: Exception) -> None:
    for _, answer in requests:
        if not answer.done():
            answer.set_exception(error)


@contextlib.contextmanager
def _map_driver_errors() -> Iterator[None]:
    """Raise Violation or Unavailable in place of the driver's errors, except for mistakes in our SQL."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Violation(str(error)) from error
    except (asyncpg.DataError, asyncpg.SyntaxOrAccessError):
        raise
    except _CONNECTION_ERRORS as error:
        raise database_unavailable() from error
