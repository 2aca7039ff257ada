"""Waiting between two looks for work, and noticing that the process stood still meanwhile."""

import asyncio
import contextlib
import time
from typing import Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where there is one that does."""
_STALL_SECONDS: Final = 4.0
"""That a busy machine may add; leases last some times as long."""


async def waited(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, for so many seconds at most; return whether the process stood still meanwhile.

    It was stopped then, or its machine slept. Whoever was alive before may have lost its lease by that alone.
    """
    before = time.clock_gettime(_CLOCK)
    with contextlib.suppress(TimeoutError):  # not `wait_for`: Python 3.11's may swallow a cancellation
        async with asyncio.timeout(seconds):
            await event.wait()
    return time.clock_gettime(_CLOCK) - before > seconds + _STALL_SECONDS
