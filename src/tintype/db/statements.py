"""Statements in as many shapes as clients ask for: made and compiled beside the event loop, and kept.

One thread makes them, so that many new ones wait for each other and nobody else waits for them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sqlalchemy import Executable

from tintype.errors import Unavailable

_KEPT: Final = 512
_WAITING: Final = 100
"""New ones that may wait to be made."""


class Statements:
    """The statements of one database."""

    def __init__(self, compile_one: Callable[[Executable, Collection[str]], object]) -> None:
        """Make it; `compile_one` compiles a statement for parameters of these names, in any thread."""
        self._compile = compile_one
        self._kept: OrderedDict[Hashable, Executable] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[Executable]] = {}
        self._thread = ThreadPoolExecutor(1, "statements")

    async def get(
        self, shape: Hashable, make: Callable[[], Executable], names: Collection[str]
    ) -> Executable:
        """Return the statement of a shape, which `make` makes the first time.

        Raises Unavailable where too many wait to be made.
        """
        found = self._kept.get(shape)
        if found is not None:
            self._kept.move_to_end(shape)
            return found
        making = self._making.get(shape)
        if making is None:
            if len(self._making) >= _WAITING:
                raise Unavailable("Too many unusual lists are asked for at once.", Retry_After="1")
            making = asyncio.ensure_future(self._make(shape, make, names))
            self._making[shape] = making
        return await asyncio.shield(making)

    async def _make(
        self, shape: Hashable, make: Callable[[], Executable], names: Collection[str]
    ) -> Executable:
        def work() -> Executable:
            statement = make()
            self._compile(statement, names)
            return statement

        try:
            statement = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            del self._making[shape]
        self._kept[shape] = statement
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return statement

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
