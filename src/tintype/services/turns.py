"""A bounded queue for work of which only so much may go on at once."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from tintype.domain.turns import Turns
from tintype.errors import TooManyAttempts

_FIRST_GUESS_SECONDS: Final = 0.05
_WEIGHT: Final = 0.1
"""Of the latest turn in the average length of turns."""


class Queue:
    """Lets `at_once` go on in this process; others wait, and groups of them take turns."""

    def __init__(self, *, at_once: int, per_group: int, total: int) -> None:
        self._at_once = at_once
        self._free = at_once
        self._waiting: Turns[asyncio.Future[None]] = Turns(per_group=per_group, total=total)
        self._seconds = _FIRST_GUESS_SECONDS

    @contextlib.asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends.

        Raises TooManyAttempts at once where the queue is full, with the time until the group's part is not.
        """
        end = await self.take(group)
        try:
            yield
        finally:
            end()

    async def take(self, group: str) -> Callable[[], None]:
        """Wait for a turn, and return what ends it, to be called once.

        For work that may go on after whoever waited for it. Raises as `turn` does.
        """
        await self._wait(group)
        return partial(self._end, time.monotonic())

    def _end(self, started: float) -> None:
        self._seconds += (time.monotonic() - started - self._seconds) * _WEIGHT
        self._pass_on()

    def dismiss(self) -> None:
        """Cancel all who wait; those whose turn it is go on."""
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
                f"Too many attempts at once. Try again in {seconds} s.", Retry_After=str(seconds)
            )
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.discard(group, turn)
            else:  # its turn had come in the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while (turn := self._waiting.next()) is not None:
            if not turn.done():  # else it was cancelled, and whoever waited has not run since
                turn.set_result(None)
                return
        self._free += 1
