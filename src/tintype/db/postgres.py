"""PostgreSQL through asyncpg, with SQLAlchemy as the one that writes the SQL.

A statement is compiled once and kept; what is sent afterwards is text and values. SQLAlchemy's own
way of running it would cost as much again as everything else (docs/explanation/decisions/0008).
"""

import asyncio
import contextlib
import logging
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.compiler import compiles

from tintype.db.engine import LeaseClock, Parameters, Rows, Transaction, Violation, silent
from tintype.db.statements import Statements
from tintype.errors import Unavailable

_PATIENCE_SECONDS: Final = 10.0
"""For a connection, and for the answer to a statement."""
_OPTIONS: Final[Mapping[str, Any]] = {
    "statement_cache_size": 1000,
    "max_cached_statement_lifetime": 0,
    "timeout": _PATIENCE_SECONDS,
    "command_timeout": _PATIENCE_SECONDS,
}
_SETTINGS: Final = "SET application_name = 'tintype'; SET jit = off"
"""Said once connected: a pooler in between may refuse them as parameters of the connection."""
_WAITING: Final = 10_000
_TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_JOBS: Final = "tintype_jobs"
"""The channel of migration 0007."""
_RECONNECT_SECONDS: Final = 2.0
_TOGETHER: Final = 100
"""Questions that go as one at most."""
_LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_log: Final = logging.getLogger("tintype.postgres")


class Postgres:
    """A PostgreSQL database: up to `connections` connections of this process, made as they are needed."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._statements = Statements(_text)
        self._together: dict[str, _Together] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Give a connection. Each statement sees its own moment."""
        with _told():
            connection = await self._acquire()
        try:
            yield _Connection(connection, self._statements)
        finally:
            await self._release(connection)

    async def first(self, statement: Executable, parameters: Mapping[str, str | None]) -> Any:
        """Read with all who ask while the server is at work on the same for others."""
        sql, values = _text(statement, parameters).values(parameters)
        together = self._together.get(sql)
        if together is None:
            together = self._together[sql] = _Together(self._url, sql, len(values))
        return await together.first(values)

    @contextlib.asynccontextmanager
    async def write(
        self,
        *,
        durable: bool = False,  # noqa: ARG002 (all are)
        single: bool = False,
        turn: str | None = None,
    ) -> AsyncIterator[Transaction]:
        """Commit at the end; raises Unavailable where the server does not answer."""
        if turn is None and single:  # without a transaction the server commits each: two questions less
            async with self.read() as tx:
                yield tx
        elif turn is None:
            async with self._transaction() as tx:
                yield tx
        else:  # who waits for its turn here waits without a connection, which others have use for
            async with self._in_turn(turn), self._transaction() as tx:
                with _told():
                    await tx.connection.execute(_TAKE_TURN, turn)
                yield tx

    @contextlib.asynccontextmanager
    async def _in_turn(self, name: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable("Too much is being done for this project at once.", retry_after=1) from None
        try:
            yield
        finally:
            lock.release()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> "AsyncIterator[_Connection]":
        with _told():
            connection = await self._acquire()
        try:
            try:
                with _told():
                    await connection.execute("BEGIN")
                yield _Connection(connection, self._statements)
                with _told():
                    await connection.execute("COMMIT")
            except BaseException:
                await self._roll_back(connection)
                raise
        finally:
            await self._release(connection)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Have PostgreSQL tell, over a connection of its own that is made again when it is lost."""
        while True:
            lost = asyncio.Event()
            connection: Any = None
            try:
                connection = await asyncpg.connect(self._url, **_OPTIONS)
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await connection.add_listener(_JOBS, lambda *_told: wake())
                wake()  # for what was told while nobody listened
                await lost.wait()
            except _LOST as error:
                _log.error("the database does not tell of jobs: %s", type(error).__name__)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def close(self) -> None:
        """Let go of every connection."""
        self._statements.close()
        for together in self._together.values():
            together.close()
        if self._pool is not None:
            self._pool.terminate()

    async def _acquire(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=0,
                        max_size=self._connections - 2,  # others: what is read together, and who listens
                        max_inactive_connection_lifetime=0,
                        reset=_leave_as_it_is,
                        **_OPTIONS,
                        init=_set_up,
                    )
        return await self._pool.acquire(timeout=_PATIENCE_SECONDS)

    async def _release(self, connection: Any) -> None:
        if self._pool is not None:
            with contextlib.suppress(*_LOST):
                await self._pool.release(connection)

    @staticmethod
    async def _roll_back(connection: Any) -> None:
        """End a transaction, if need be with its connection: nothing of it may be there for the next."""
        rolling: asyncio.Future[Any] | None = None
        try:
            rolling = asyncio.ensure_future(connection.execute("ROLLBACK"))
            await asyncio.shield(rolling)
        except (asyncio.CancelledError, *_LOST) as error:  # else what it is rolled back for is told, not this
            with contextlib.suppress(asyncpg.InterfaceError):  # the pool has ended it
                connection.terminate()
            if rolling is not None:
                rolling.cancel()
            if isinstance(error, asyncio.CancelledError):
                raise


class _Connection:
    """What a use case sees."""

    def __init__(self, connection: Any, statements: Statements) -> None:
        self.connection = connection
        self.statement = statements.get

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        with _told():
            parameters = parameters or {}
            text = _text(statement, parameters)
            sql, values = text.values(parameters)
            if text.gives_rows:
                return _Found(await self.connection.fetch(sql, *values), 0)
            status = await self.connection.execute(sql, *values)
            return _Found([], int(status.rpartition(" ")[2]))


_Asked = tuple[Sequence[Any], asyncio.Future[Any]]
"""The values of a question, and where its answer is waited for."""


class _Together:
    """One statement asked by many: while the server works on it, the next ones gather and then go as one.

    Who comes alone waits for nobody, and a server with much to do gets fewer questions instead of more.
    They go over a connection of their own, whose plans are made once: of a list of values the server
    would make a new one each time, which takes longer than the answer.
    """

    def __init__(self, url: str, sql: str, count: int) -> None:
        self._url = url
        self._alone = sql
        each = re.sub(r"\$(\d+)", r"asked.p\1", sql)
        arrays = ", ".join(f"${number}::text[]" for number in range(1, count + 1))
        names = ", ".join(f"p{number}" for number in range(1, count + 1))
        self._many = (
            f"SELECT asked.number, found.* FROM unnest({arrays}) WITH ORDINALITY AS asked ({names}, number), "
            f"LATERAL ({each} LIMIT 1) AS found"
        )
        self._connection: Any = None
        self._busy = False
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def first(self, values: Sequence[Any]) -> Any:
        """Give the first row of the statement with these values, or None."""
        if self._busy:
            if len(self._waiting) >= _WAITING:
                raise silent()
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append((values, answer))
            return await answer
        self._busy = True
        try:
            rows = await self._fetch(self._alone, values)
            return rows[0] if rows else None
        finally:
            self._go_on()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _go_on(self) -> None:
        if self._waiting:
            self._task = asyncio.ensure_future(self._ask())
        else:
            self._busy = False

    async def _ask(self) -> None:
        asked, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        try:
            rows = await self._fetch(self._many, list(zip(*(values for values, _ in asked), strict=True)))
        except Exception as error:  # noqa: BLE001 (whoever waits is told)
            _tell(asked, error)
        else:
            found = {row[0]: row[1:] for row in rows}
            for number, (_, answer) in enumerate(asked, 1):
                if not answer.done():
                    answer.set_result(found.get(number))
        finally:
            self._go_on()

    async def _fetch(self, sql: str, values: Sequence[Any]) -> Any:
        try:
            with _told():
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await self._connection.fetch(sql, *values)
        except Unavailable as error:  # who waits would wait for the same
            self.close()
            waiting, self._waiting = self._waiting, []
            _tell(waiting, error)
            raise

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(self._url, **_OPTIONS)
        try:
            await connection.execute(f"{_SETTINGS}; SET plan_cache_mode = force_generic_plan")
        except BaseException:
            connection.terminate()
            raise
        return connection


def _tell(asked: "Sequence[_Asked]", error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)


class _Found:
    """Rows as SQLAlchemy's results give them."""

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


@compiles(LeaseClock, "postgresql")
def _server_clock(*_context: object, **_options: object) -> str:
    return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"


class _Text:
    """A compiled statement: the SQL, and in which order it wants its values."""

    def __init__(self, statement: Any, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
        self.statement = statement
        self.gives_rows = bool(statement.is_select or compiled.effective_returning)
        self._sql = str(compiled)
        self._compiled = compiled if compiled.post_compile_params else None
        self._order: Sequence[str] = compiled.positiontup or ()
        fixed = compiled.construct_params(dict.fromkeys(names), _check=False)
        self._fixed = {name: value for name, value in fixed.items() if name not in names}

    def values(self, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Give the SQL, with room for every value of a list, and the values in order."""
        if self._fixed:
            parameters = {**self._fixed, **parameters}
        if self._compiled is not None:
            state = self._compiled.construct_expanded_state(parameters)
            return state.statement, list(state.positional_parameters)
        return self._sql, [parameters[name] for name in self._order]


def _text(statement: Executable, names: Collection[str]) -> _Text:
    """Compile a statement, or find it among those that were used last. May run in any thread."""
    key = (id(statement), *names)
    text = _TEXTS.get(key) or _Text(statement, tuple(names))  # it keeps the statement, and so its id
    with _KEEPING:
        _TEXTS[key] = text
        _TEXTS.move_to_end(key)
        if len(_TEXTS) > _KEPT:
            _TEXTS.popitem(last=False)
    return text


_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
_TEXTS: Final[OrderedDict[tuple[Any, ...], _Text]] = OrderedDict()
_KEPT: Final = 1000
_KEEPING: Final = threading.Lock()


async def _set_up(connection: Any) -> None:
    await connection.execute(_SETTINGS)


async def _leave_as_it_is(_connection: object) -> None:
    """Spare a question to the server each time: we leave nothing in a session."""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in our words what the driver says."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Violation(str(error)) from error
    except (asyncpg.DataError, asyncpg.SyntaxOrAccessError):
        raise  # a mistake of ours
    except _LOST as error:
        raise silent() from error
