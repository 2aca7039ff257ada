"""Waiting between polls for work, and detecting that the process was suspended meanwhile."""

import asyncio
import contextlib
import time
from typing import Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that runs while the machine sleeps, if the system has one."""
_STALL_SECONDS: Final = 4.0
"""Delay that a busy machine may add; leases last several times as long."""


async def wait_detecting_stall(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for at most `seconds`; return whether the process was suspended meanwhile.

    If it was stopped or its machine slept, live holders may have lost their leases.
    """
    before = time.clock_gettime(_CLOCK)
    with contextlib.suppress(TimeoutError):  # not `wait_for`: Python 3.11's may swallow a cancellation
        async with asyncio.timeout(seconds):
            await event.wait()
    return time.clock_gettime(_CLOCK) - before > seconds + _STALL_SECONDS
