"""A bounded queue for work of which only so much may go on at once."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
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
        await self._wait(group)
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += (time.monotonic() - started - self._seconds) * _WEIGHT
            self._pass_on()

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
        turn = self._waiting.next()
        if turn is None:
            self._free += 1
        else:
            turn.set_result(None)
