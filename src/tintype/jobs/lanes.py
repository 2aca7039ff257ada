"""A lane: slots for jobs of one kind, and this process's attempts that run in them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tintype.domain.tasks import max_at_once, owners_at_limit
from tintype.jobs.attempts import Attempt
from tintype.services.leases import wait_detecting_stall


class Lane:
    """The running attempts, limited by the slots and by the fair shares of their owners."""

    def __init__(self, name: str, slots: int, failed: Callable[[BaseException], None]) -> None:
        """`failed` is called with the error of an attempt that could not be settled."""
        self.name = name
        self._slots = slots
        self._failed = failed
        self._woken = asyncio.Event()
        self._owners: dict[asyncio.Task[None], str] = {}

    @property
    def is_full(self) -> bool:
        """Whether no further attempt may start, whoever its owner is."""
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
        """Wait until there may be work, for at most `seconds`.

        Return whether the process was suspended meanwhile.
        """
        stalled = await wait_detecting_stall(self._woken, seconds)
        self._woken.clear()
        return stalled

    async def close(self) -> None:
        """Cancel all attempts; each requeues its job."""
        await asyncio.sleep(0)  # a task cancelled before its first step would not requeue its job
        for running in self._owners:
            running.cancel()
        if self._owners:
            await asyncio.wait(self._owners)

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._owners[running]
        self.wake()
        if not running.cancelled() and (error := running.exception()) is not None:
            self._failed(error)
