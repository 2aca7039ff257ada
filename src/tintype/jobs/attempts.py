"""An attempt at a job, and what is done for a type of job."""

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

HOLD: Final = 20_000_000
"""Microseconds for which an attempt holds its job without a renewal."""
LOST: Final = "Another worker has taken the job over."
DELETED: Final = "The image was deleted."
CANCELLED: Final = "The task was cancelled."


class Attempt:
    """One try at a job, and what it may do with it."""

    def __init__(self, task: Task, holder: str, caller: Caller, secret: str | None, lifetime: int) -> None:
        self.task = task
        self.caller = caller
        self.secret = secret
        self._holder = holder
        self._lifetime = lifetime

    def progress(self, done: int, total: int | None = None) -> None:
        """Note how far the job is, to be stored with the next renewal."""
        self.task = msgspec.structs.replace(
            self.task, bytes_done=done, bytes_total=self.task.bytes_total if total is None else total
        )

    async def succeed(self, tx: Transaction, result: dict[str, str] | None, message: str = "") -> None:
        """End the job in the transaction that shows what it did; raises Gone where it is another's."""
        await self._end(tx, SUCCESS, message, result)

    async def fail(self, tx: Transaction, reason: str) -> None:
        """End the job without success; raises Gone where it is another's."""
        await self._end(tx, FAILURE, reason, None)

    async def put_back(self, tx: Transaction, message: str, pause: int, *, counted: bool) -> None:
        """Let another attempt have the job after a pause; raises Gone where it is another's already."""
        if not await jobs.requeue(
            tx, self.task.id, self._holder, now=now(), pause=pause, message=message, counted=counted
        ):
            raise Gone(LOST)

    async def renew(self, tx: Transaction) -> TintypeError | None:
        """Renew the lease on the job, and those on the bytes that are being written for it.

        Returns the error to end the work with, where the job was lost or cancelled, or its image deleted.
        """
        image_id = self.task.image_id
        beat = await jobs.renew(tx, self.task, self._holder, now=now(), lease=HOLD)
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
        """Raise Gone where the job is another's by now: before anything is written for it."""
        if not await jobs.is_claimed_by(tx, self.task.id, self._holder):
            raise Gone(LOST)

    async def _end(self, tx: Transaction, state: str, message: str, result: dict[str, str] | None) -> None:
        self.task = msgspec.structs.replace(self.task, state=state, message=message, result=result)
        if not await jobs.finish(tx, self.task, self._holder, now=now(), lifetime=self._lifetime):
            raise Gone(LOST)


class Work(Protocol):
    """What is done for one type of job. Each part may be done again, by another worker."""

    async def run(self, attempt: Attempt) -> None:
        """Do all of it, and end with `attempt.succeed` in the transaction that shows it.

        Raises Unavailable where another attempt may do better, any other TintypeError where none will.
        """

    async def undo(self, tx: Transaction, task: Task) -> None:
        """Give up what an attempt has left half done; well if there is nothing."""

    async def fail(self, tx: Transaction, task: Task, reason: str) -> None:
        """Leave the image so that its owner can go on, with the reason."""
