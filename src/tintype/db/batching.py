"""Batched queries: callers that look up a row while the server is busy with the same lookup share a query."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from tintype.db.compiled import compile_statement
from tintype.db.driver import OPTIONS, SETTINGS, map_driver_errors
from tintype.db.engine import database_unavailable
from tintype.db.lookups import Lookup
from tintype.errors import Unavailable

_MAX_BATCH: Final = 100
_MAX_WAITING: Final = 10_000

_Parameters = Mapping[str, str | None]
_Request = tuple[_Parameters, asyncio.Future[Any]]


class QueryBatcher:
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
            with map_driver_errors():
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await self._connection.fetch(sql, *values)
        except Unavailable as error:  # the waiting requests would fail in the same way
            self.close()
            waiting, self._waiting = self._waiting, []
            _fail(waiting, error)
            raise

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(self._url, **OPTIONS)
        try:
            await connection.execute(f"{SETTINGS}; SET plan_cache_mode = force_generic_plan")
        except BaseException:
            connection.terminate()
            raise
        return connection


def _fail(requests: Sequence[_Request], error: Exception) -> None:
    for _, answer in requests:
        if not answer.done():
            answer.set_exception(error)
