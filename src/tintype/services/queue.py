"""The queue of jobs: a project may have so many unfinished ones."""

from tintype.db import jobs
from tintype.db.engine import Transaction
from tintype.domain.callers import Caller
from tintype.domain.tasks import Task
from tintype.errors import OverLimit
from tintype.services.images import quota_turn


class Queue:
    """Takes new jobs."""

    def __init__(self, most: int) -> None:
        """Make it, for `most` unfinished jobs of each project."""
        self._most = most

    @staticmethod
    def turn(caller: Caller) -> str:
        """Name what transactions take turns for that add jobs of the caller's project."""
        return quota_turn(caller) or f"jobs of {caller.project_id}"

    async def add(self, tx: Transaction, task: Task, caller: Caller, secret: str | None = None) -> None:
        """Store a new job, in a transaction that has its turn.

        Raises OverLimit where the project has too many, Conflict where the image is the object of another.
        """
        if await jobs.unfinished(tx, task.owner) >= self._most:
            raise OverLimit(
                f"The project has {self._most} unfinished tasks, the limit of jobs.waiting_per_project. "
                "Wait for one to end, or cancel one."
            )
        await jobs.add(tx, task, caller, secret)
