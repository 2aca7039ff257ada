"""A bounded, fair queue in front of work with limited concurrency."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from tintype.domain.turns import Bounds, Turns
from tintype.errors import TooManyAttempts

_FIRST_GUESS_SECONDS: Final = 0.05
_WEIGHT: Final = 0.1
"""Weight of the latest turn in the moving average of the length of turns."""


class Queue:
    """Runs at most `at_once` pieces of work in this process; the rest wait, and groups take turns."""

    def __init__(self, at_once: int, bounds: Bounds) -> None:
        self._at_once = at_once
        self._free = at_once
        self._waiting: Turns[asyncio.Future[None]] = Turns(bounds)
        self._seconds = _FIRST_GUESS_SECONDS

    @contextlib.asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the block ends.

        Raises TooManyAttempts at once if the queue or the group's part of it is full; its Retry-After is an
        estimate of when the group's waiting work will have run.
        """
        end = await self.acquire(group)
        try:
            yield
        finally:
            end()

    async def acquire(self, group: str) -> Callable[[], None]:
        """Wait for a turn, and return a function that ends it, to be called once.

        For work that may outlive its caller. Raises as `turn` does.
        """
        await self._wait(group)
        return partial(self._end, time.monotonic())

    def _end(self, started: float) -> None:
        self._seconds += (time.monotonic() - started - self._seconds) * _WEIGHT
        self._grant_next()

    def cancel_waiting(self) -> None:
        """Cancel all waiting work; running work goes on."""
        while (turn := self._waiting.next()) is not None:
            turn.cancel()

    async def _wait(self, group: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        if not self._waiting.add(group, turn):
            seconds = max(1, math.ceil(self._waiting.ahead_of(group) * self._seconds / self._at_once))
            raise TooManyAttempts(
                f"Too many attempts at once. Try again in {seconds} s.", retry_after=seconds
            )
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.discard(group, turn)
            else:  # the turn was granted at the same moment
                self._grant_next()
            raise

    def _grant_next(self) -> None:
        while (turn := self._waiting.next()) is not None:
            if not turn.done():  # a cancelled one whose waiter has not run since is skipped
                turn.set_result(None)
                return
        self._free += 1
