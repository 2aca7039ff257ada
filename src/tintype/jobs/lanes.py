"""A lane: slots for jobs of one kind, and the attempts of this process that run in them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tintype.domain.shares import max_at_once, owners_at_limit
from tintype.jobs.attempts import Attempt
from tintype.jobs.waiting import waited


class Lane:
    """The attempts that run at once, as many as the slots and the shares of their owners allow."""

    def __init__(self, name: str, slots: int, failed: Callable[[BaseException], None]) -> None:
        """Make it; `failed` is called with the error of an attempt that could not be brought to an end."""
        self.name = name
        self._slots = slots
        self._failed = failed
        self._woken = asyncio.Event()
        self._owners: dict[asyncio.Task[None], str] = {}

    @property
    def is_full(self) -> bool:
        """Whether no further attempt may start, whoever owns it."""
        return len(self._owners) >= max_at_once(self._slots)

    @property
    def owners_at_limit(self) -> set[str]:
        """The owners who may start no further attempt now."""
        return owners_at_limit(self._owners.values(), self._slots)

    def start(self, attempt: Attempt, work: Coroutine[Any, Any, None]) -> None:
        """Run an attempt until its work has ended."""
        running = asyncio.create_task(work)
        self._owners[running] = attempt.task.owner or ""
        running.add_done_callback(self._ended)

    def wake(self) -> None:
        """End a `pause`."""
        self._woken.set()

    async def pause(self, seconds: float) -> bool:
        """Wait until there may be work, for so many seconds at most.

        Return whether the process stood still meanwhile.
        """
        stalled = await waited(self._woken, seconds)
        self._woken.clear()
        return stalled

    async def close(self) -> None:
        """Stop all attempts; each puts its job back."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not put its job back
        for running in self._owners:
            running.cancel()
        if self._owners:
            await asyncio.wait(self._owners)

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._owners[running]
        self.wake()
        if not running.cancelled() and (error := running.exception()) is not None:
            self._failed(error)
