"""Limits the concurrent downloads of each project, and releases the memory they used."""

import asyncio
from collections import Counter
from typing import Final

from tintype.api.allocator import return_memory
from tintype.errors import TooManyAttempts

_TRIM_SECONDS: Final = 10.0
"""Delay after a download begins or ends, and the shortest interval between two trims."""


class DownloadSlots:
    """Counts the downloads of each project, except cache fills and those that a front server sends."""

    def __init__(self, limit: int) -> None:
        """Allow each project `limit` downloads at once."""
        self._limit = limit
        self._running: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def acquire(self, project: str) -> None:
        """Acquire a slot; raise TooManyAttempts if the project has none free."""
        if self._running[project] >= self._limit:
            message = (
                f"The project has {self._limit} downloads running in this server process, the limit of "
                "images.parallel_downloads. Try again when one has ended."
            )
            raise TooManyAttempts(message, retry_after=5)
        self._running[project] += 1
        self._trim_soon()

    def release(self, project: str) -> None:
        """Release the slot of a download that has ended."""
        self._running[project] -= 1
        if not self._running[project]:
            del self._running[project]
        self._trim_soon()

    def _trim_soon(self) -> None:
        """Schedule a return of free memory to the system, unless one is scheduled."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TRIM_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        """Make the allocator return free pages to the system, which it would keep otherwise."""
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, return_memory)
