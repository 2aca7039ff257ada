"""A lane: slots for jobs of one kind, and the attempts of this process that hold them."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tintype.domain.shares import Held, Standing, to_put_back
from tintype.jobs.attempts import Attempt


class Lane:
    """So many slots."""

    def __init__(self, name: str, slots: int, failed: Callable[[BaseException], None]) -> None:
        """Make it; `failed` is told of attempts that could not be brought to an end."""
        self.name = name
        self._slots = slots
        self._failed = failed
        self._woken = asyncio.Event()
        self._running: dict[asyncio.Task[None], Attempt] = {}

    @property
    def is_full(self) -> bool:
        """Whether no slot is free."""
        return len(self._running) >= self._slots

    @property
    def full_owners(self) -> list[str]:
        """The owners who hold as many slots as one may: all but one, which is for others."""
        counts = Counter(attempt.task.owner or "" for attempt in self._running.values())
        return [owner for owner, count in counts.items() if count >= max(1, self._slots - 1)]

    def begin(self, attempt: Attempt, work: Coroutine[Any, Any, None]) -> None:
        """Give an attempt a slot until its work has ended."""
        running = asyncio.create_task(work)
        self._running[running] = attempt
        running.add_done_callback(self._ended)

    def make_room(self, standings: Mapping[str, Standing]) -> None:
        """End an attempt that has more than its share, slowly, where another project waits."""
        if any(attempt.makes_room for attempt in self._running.values()):
            return
        now = time.monotonic()
        held = {
            Held(attempt.task.owner or "", now - attempt.begun, attempt.rate): running
            for running, attempt in self._running.items()
        }
        chosen = to_put_back(tuple(held), standings)
        if chosen is not None:
            self._running[held[chosen]].makes_room = True
            held[chosen].cancel()

    def wake(self) -> None:
        """End a `pause`."""
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        """Wait until there may be work, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def close(self) -> None:
        """Hand over the jobs that are at work."""
        for running in self._running:
            running.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._running[running]
        self.wake()
        if not running.cancelled() and (error := running.exception()) is not None:
            self._failed(error)
