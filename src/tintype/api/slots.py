"""Downloads at once: how many a project may have in this process, and the memory that they leave behind."""

import asyncio
from collections import Counter
from typing import Final

from tintype.api.allocator import return_memory
from tintype.errors import TooManyAttempts

_TRIM_SECONDS: Final = 10.0
"""After a download has begun or ended, at most so often."""


class DownloadSlots:
    """Counts the downloads of each project; cache fills and what a front server sends are not counted."""

    def __init__(self, limit: int) -> None:
        """Let each project have `limit` downloads at once."""
        self._limit = limit
        self._running: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, project: str) -> None:
        """Count a download; raise TooManyAttempts where the project has too many."""
        if self._running[project] >= self._limit:
            message = (
                f"The project has {self._limit} downloads running in this server process, the limit of "
                "images.parallel_downloads. Try again when one has ended."
            )
            raise TooManyAttempts(message, Retry_After="5")
        self._running[project] += 1
        self._trim_soon()

    def give_back(self, project: str) -> None:
        """Note the end of a download."""
        self._running[project] -= 1
        if not self._running[project]:
            del self._running[project]
        self._trim_soon()

    def _trim_soon(self) -> None:
        """Have the memory of downloads that have ended, or are not read, returned before long."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TRIM_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        """Have the allocator return the pages of ended downloads, which it keeps otherwise."""
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, return_memory)
