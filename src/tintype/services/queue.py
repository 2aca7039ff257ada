"""The queue of jobs, with a limit of unfinished ones for each project."""

import contextlib
from collections.abc import AsyncIterator

from tintype.db import jobs
from tintype.db.engine import Database, Transaction
from tintype.domain.callers import Caller
from tintype.domain.tasks import Task
from tintype.errors import OverLimit
from tintype.services.quotas import quota_turn
from tintype.services.wakeups import Wakeup


class JobQueue:
    """Adds jobs within the limit."""

    def __init__(self, database: Database, most: int, wakeup: Wakeup) -> None:
        """Allow each project `most` unfinished jobs; `wakeup` wakes the workers."""
        self._database = database
        self._most = most
        self._wakeup = wakeup

    @contextlib.asynccontextmanager
    async def transaction(self, caller: Caller) -> AsyncIterator[Transaction]:
        """Open a transaction that adds jobs of the caller's project; wake the workers after its commit."""
        async with self._database.write(turn=quota_turn(caller) or f"jobs of {caller.project_id}") as tx:
            yield tx
        self._wakeup.wake()

    async def add(self, tx: Transaction, task: Task, caller: Caller, secret: str | None = None) -> None:
        """Store a new job in a transaction opened with `transaction`.

        Raises OverLimit if the project has too many unfinished jobs, Conflict if the image has another one.
        """
        if await jobs.count_unfinished(tx, task.owner) >= self._most:
            raise OverLimit(
                f"The project has {self._most} unfinished tasks, the limit of jobs.waiting_per_project. "
                "Wait for one to end, or cancel one."
            )
        await jobs.add(tx, task, caller, secret)
