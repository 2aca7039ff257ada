"""The queue of jobs, with a limit of unfinished ones for each project."""

from tintype.db import jobs
from tintype.db.engine import Transaction
from tintype.domain.callers import Caller
from tintype.domain.tasks import Task
from tintype.errors import OverLimit
from tintype.services.quotas import quota_turn


class JobQueue:
    """Adds jobs within the limit."""

    def __init__(self, most: int) -> None:
        """Allow each project `most` unfinished jobs."""
        self._most = most

    @staticmethod
    def turn(caller: Caller) -> str:
        """Return the name of the turn that transactions take to add jobs of the caller's project."""
        return quota_turn(caller) or f"jobs of {caller.project_id}"

    async def add(self, tx: Transaction, task: Task, caller: Caller, secret: str | None = None) -> None:
        """Store a new job, in a transaction that has this turn.

        Raises OverLimit if the project has too many unfinished jobs, Conflict if the image has another one.
        """
        if await jobs.unfinished(tx, task.owner) >= self._most:
            raise OverLimit(
                f"The project has {self._most} unfinished tasks, the limit of jobs.waiting_per_project. "
                "Wait for one to end, or cancel one."
            )
        await jobs.add(tx, task, caller, secret)
