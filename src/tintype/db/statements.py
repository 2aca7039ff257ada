"""A cache of statements by shape, built and compiled off the event loop.

One thread builds them, so requests for new shapes wait for each other, but no other request waits. Projects
take turns.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from sqlalchemy import Executable

from tintype.domain.turns import Bounds, Turns
from tintype.errors import TintypeError, TooManyAttempts, Unavailable

WAITING: Final = Bounds(per_group=50, total=1000)
"""The default for the shapes that wait to be built: for each project and in all."""
_KEPT: Final = 512
_KEPT_NEW: Final = 128
"""Maximum number of shapes requested once; they do not evict those that were requested again."""
_FRESH: Final = 500
"""New statements after which an unused one is compiled again: drivers keep the last 1,000 compiled."""


class _Kept(NamedTuple):
    statement: Executable
    used_at: int
    """The number of statements that had been built when it was last used."""


class _New(NamedTuple):
    shape: Hashable
    make: Callable[[], Executable]
    names: Collection[str]
    made: asyncio.Future[Executable]


class Statements:
    """The statements of one database."""

    def __init__(self, compile_one: Callable[[Executable, Collection[str]], object], waiting: Bounds) -> None:
        """Create it; `compile_one` compiles a statement for parameters of these names, in any thread.

        At most `waiting` shapes wait to be built.
        """
        self._compile = compile_one
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._new: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._count = 0
        self._waiting: Turns[_New] = Turns(waiting)
        self._promised: dict[Hashable, asyncio.Future[Executable]] = {}
        self._maker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "statements")

    async def get(
        self, shape: Hashable, make: Callable[[], Executable], names: Collection[str], *, group: str
    ) -> Executable:
        """Return the statement of a shape, which `make` builds the first time, in its group's turn.

        Raises TooManyAttempts if too many of the group wait to be built, Unavailable if too many in all.
        """
        found = self._kept.get(shape)
        if found is None:
            found = self._new.pop(shape, None)
        if found is not None:
            kept, age = found.statement, self._count - found.used_at
            self._keep(self._kept, shape, kept, _KEPT)
            if age <= _FRESH:
                return kept
            make = functools.partial(lambda same: same, kept)
        made = self._promised.get(shape)
        if made is None:
            made = asyncio.get_running_loop().create_future()
            if not self._waiting.add(group, _New(shape, make, names, made)):
                raise self._refusal(group)
            self._promised[shape] = made
            if self._maker is None:
                self._maker = asyncio.create_task(self._build_all())
        return await asyncio.shield(made)

    def _refusal(self, group: str) -> TintypeError:
        what = "lists with new combinations of filters are requested at once"
        if self._waiting.is_full(group):
            return TooManyAttempts(
                f"Too many {what}: the limit of a project is database.list_queue_per_project.", retry_after=1
            )
        return Unavailable(f"Too many {what}.", retry_after=1)

    async def _build_all(self) -> None:
        """Build the waiting statements, one after the other."""
        try:
            while (new := self._waiting.next()) is not None:
                await self._build(new)
        finally:
            self._maker = None

    async def _build(self, new: _New) -> None:
        def work() -> Executable:
            statement = new.make()
            self._compile(statement, new.names)
            return statement

        try:
            statement = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001 (the waiting callers get it)
            new.made.set_exception(error)
            new.made.exception()  # nobody may be waiting any more
        except BaseException:
            new.made.cancel()
            raise
        else:
            self._count += 1
            if new.shape not in self._kept:
                self._keep(self._new, new.shape, statement, _KEPT_NEW)
            new.made.set_result(statement)
        finally:
            del self._promised[new.shape]

    def close(self) -> None:
        """Release the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _keep(
        self, among: OrderedDict[Hashable, _Kept], shape: Hashable, statement: Executable, most: int
    ) -> None:
        """Store a statement as the most recently used of at most `most`."""
        among[shape] = _Kept(statement, self._count)
        among.move_to_end(shape)
        if len(among) > most:
            among.popitem(last=False)
