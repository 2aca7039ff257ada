"""Attempts at jobs, and the interface of the work for a type of job."""

from typing import Final, Protocol

import msgspec

from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import jobs
from tintype.db.engine import Transaction, now
from tintype.domain.callers import Caller
from tintype.domain.tasks import FAILURE, SUCCESS, Task
from tintype.errors import Conflict, Gone, TintypeError
from tintype.services.leases import LEASE

JOB_LEASE: Final = 20_000_000
"""Microseconds for which an attempt's lease on its job lasts without a renewal."""
LOST: Final = "Another worker has taken over the job."
DELETED: Final = "The image was deleted."
CANCELLED: Final = "The task was cancelled."


class Attempt:
    """One attempt at a job. Its lease on the job fences all its writes."""

    def __init__(self, task: Task, holder: str, caller: Caller, secret: str | None, lifetime: int) -> None:
        self.task = task
        self.caller = caller
        self.secret = secret
        self._holder = holder
        self._lifetime = lifetime

    def progress(self, done: int, total: int | None = None) -> None:
        """Set the progress of the job, which the next renewal stores."""
        self.task = msgspec.structs.replace(
            self.task, bytes_done=done, bytes_total=self.task.bytes_total if total is None else total
        )

    async def succeed(self, tx: Transaction, result: dict[str, str] | None, message: str = "") -> None:
        """End the job in the transaction that publishes its result. Raises Gone if the lease is lost."""
        await self._end(tx, SUCCESS, message, result)

    async def fail(self, tx: Transaction, reason: str) -> None:
        """End the job as failed. Raises Gone if the lease is lost."""
        await self._end(tx, FAILURE, reason, None)

    async def requeue(self, tx: Transaction, message: str, pause: int, *, counted: bool) -> None:
        """Release the job for another attempt after a pause. Raises Gone if the lease is lost."""
        if not await jobs.requeue(
            tx, self.task.id, self._holder, now=now(), pause=pause, message=message, counted=counted
        ):
            raise Gone(LOST)

    async def renew(self, tx: Transaction) -> TintypeError | None:
        """Renew the leases on the job and on the blobs being written for it.

        Return the error to end the work with if the job was lost or cancelled, or its image deleted.
        """
        image_id = self.task.image_id
        beat = await jobs.renew(tx, self.task, self._holder, now=now(), lease=JOB_LEASE)
        if beat is None:
            return Gone(LOST)
        if beat:
            return Conflict(CANCELLED)
        if image_id is not None:
            if not await image_rows.is_claimed_by(tx, image_id, self.task.id):
                return Gone(DELETED)
            await blob_rows.renew_all_of(tx, image_id, LEASE)
        return None

    async def check(self, tx: Transaction) -> None:
        """Raise Gone if the lease on the job is lost. Call it before writing anything for the job."""
        if not await jobs.is_claimed_by(tx, self.task.id, self._holder):
            raise Gone(LOST)

    async def _end(self, tx: Transaction, state: str, message: str, result: dict[str, str] | None) -> None:
        self.task = msgspec.structs.replace(self.task, state=state, message=message, result=result)
        if not await jobs.finish(tx, self.task, self._holder, now=now(), lifetime=self._lifetime):
            raise Gone(LOST)


class Work(Protocol):
    """The work for one type of job. Each method may be repeated by another worker."""

    async def run(self, attempt: Attempt) -> None:
        """Do the work, and call `attempt.succeed` in the transaction that publishes it.

        Raises Unavailable if a retry may succeed, any other TintypeError if none will.
        """

    async def undo(self, tx: Transaction, task: Task) -> None:
        """Undo what an unfinished attempt has left behind, if anything."""

    async def fail(self, tx: Transaction, task: Task, reason: str) -> None:
        """Release the image with the reason of the failure, so that its owner can continue."""
