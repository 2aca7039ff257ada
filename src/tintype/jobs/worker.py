"""The worker: takes jobs that are due, works on some of them at once, and has each come to an end.

A job is held by an attempt that gives a sign of life every few seconds. Where the signs end, with the
process or the machine, the next worker that looks takes the job over; what the attempt before has left
half done it undoes first. Whatever stands in a database or a store is written under the attempt's name,
so one that was only asleep changes nothing any more.
"""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec
import structlog

from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import jobs
from tintype.db.engine import Database, Transaction
from tintype.domain.callers import Caller
from tintype.domain.tasks import FAILURE, SUCCESS, Task
from tintype.errors import Conflict, Gone, TintypeError, Unavailable
from tintype.observability.failures import reason_of
from tintype.observability.metrics import Metrics
from tintype.services.data import beating
from tintype.services.images import now
from tintype.services.imports import let_go

HOLD: Final = 20_000_000
"""Microseconds for which an attempt holds its job without a sign of life."""
_BEAT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 2.0
_ATTEMPTS: Final = 3
"""Of a job whose stores or source do not answer."""
_CRASHES: Final = 5
"""Attempts after which a job is given up that ends with its worker each time."""
_BLOB_LEASE: Final = 60_000_000
_PAUSES: Final = (5_000_000, 20_000_000)
"""Microseconds until the next attempt."""
LOST: Final = "Another worker has taken the job over."
DELETED: Final = "The image was deleted."
CANCELLED: Final = "The task was cancelled."
GIVEN_UP: Final = f"The task was given up: {_CRASHES} workers ended while they were at work on it."
HANDED_OVER: Final = "The worker was stopped; the task waits for another one."


class Attempt:
    """One try at a job, and what it may do with it."""

    def __init__(self, task: Task, holder: str, caller: Caller, secret: str | None, lifetime: int) -> None:
        self.task = task
        self.caller = caller
        self.secret = secret
        self._holder = holder
        self._lifetime = lifetime

    def progress(self, done: int, total: int | None = None) -> None:
        """Note how far the job is, to be told with the next sign of life."""
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
        moment = now()
        if not await jobs.put_back(
            tx,
            self.task.id,
            self._holder,
            now=moment,
            then=moment + pause,
            message=message,
            counted=counted,
        ):
            raise Gone(LOST)

    async def beat(self, tx: Transaction) -> TintypeError | None:
        """Give a sign of life, also for the bytes that are being written; give why to end, if that is so."""
        moment, image_id = now(), self.task.image_id
        beat = await jobs.beat(tx, self.task, self._holder, now=moment, until=moment + HOLD)
        if beat is None:
            return Gone(LOST)
        if beat:
            return Conflict(CANCELLED)
        if image_id is not None:
            if not await image_rows.is_taken_by(tx, image_id, self.task.id):
                return Gone(DELETED)
            await blob_rows.extend_of(tx, image_id, moment + _BLOB_LEASE)
        return None

    async def check(self, tx: Transaction) -> None:
        """Raise Gone where the job is another's by now: before anything is written for it."""
        if not await jobs.holds(tx, self.task.id, self._holder):
            raise Gone(LOST)

    async def _end(self, tx: Transaction, state: str, message: str, result: dict[str, str] | None) -> None:
        self.task = msgspec.structs.replace(self.task, state=state, message=message, result=result)
        if not await jobs.end(tx, self.task, self._holder, now=now(), lifetime=self._lifetime):
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


class Worker:
    """Works until it is stopped."""

    def __init__(
        self,
        database: Database,
        works: Mapping[str, Work],
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
        *,
        concurrency: int,
        lifetime: int,
    ) -> None:
        """Make it, for `concurrency` jobs at once; ended ones are kept for `lifetime` microseconds."""
        self._database = database
        self._works = works
        self._log = log
        self._metrics = metrics
        self._free = asyncio.Semaphore(concurrency)
        self._most_of_one = max(1, concurrency - 1)
        self._lifetime = lifetime
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], str] = {}
        """With the owners of the jobs."""

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    async def end(self, task_id: str) -> bool:
        """End a job now where nobody is at work on it, or have who is end it; False where it has ended."""
        moment = now()
        async with self._database.write(durable=True) as tx:
            found = await jobs.get(tx, task_id)
            if found is not None:
                await image_rows.lock(tx, found.image_id or "")
            holder = str(uuid.uuid4())
            taken = await jobs.take(tx, task_id, holder, now=moment, until=moment + HOLD)
            if taken is None:
                return await jobs.cancel(tx, task_id, moment)
            attempt = self._attempt(taken, holder)
            if attempt is None:
                await self._spoil(tx, taken, holder)
                return True
            await attempt.fail(tx, CANCELLED)
            await self._works[attempt.task.type].undo(tx, attempt.task)
            await self._works[attempt.task.type].fail(tx, attempt.task, CANCELLED)
        return True

    async def run(self) -> None:
        """Take jobs until it is cancelled; then hand over those that are at work, and end."""
        listening = asyncio.create_task(self._database.listen(self.wake))
        try:
            while True:
                await self._free.acquire()
                try:
                    attempt = await self._claimed()
                except BaseException:
                    self._free.release()
                    raise
                running = asyncio.create_task(self._work(attempt))
                self._running[running] = attempt.task.owner or ""
                running.add_done_callback(self._ended)
        finally:
            listening.cancel()
            for running in self._running:
                running.cancel()
            if self._running:
                await asyncio.wait(self._running)

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._running[running]
        self._free.release()
        if not running.cancelled() and (error := running.exception()) is not None:
            self._log.error("a job was left", reason=reason_of(error))

    async def _claimed(self) -> Attempt:
        """Wait for a job, and take it."""
        while True:
            self._wake.clear()
            try:
                attempt = await self._claim()
                if attempt is not None:
                    return attempt
            except Exception as error:  # noqa: BLE001 (the one task that must never end)
                with contextlib.suppress(OSError):
                    self._log.error("no job can be taken", reason=reason_of(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._wake.wait()

    async def _claim(self) -> Attempt | None:
        holder, moment = str(uuid.uuid4()), now()
        counts = Counter(self._running.values())
        full = [owner for owner, count in counts.items() if count >= self._most_of_one]
        async with self._database.read() as tx:  # most looks find nothing, and need not write
            if not await jobs.is_due(tx, moment, full):
                return None
        async with self._database.write() as tx:
            claimed = await jobs.claim(tx, holder, full=full, now=moment, until=moment + HOLD)
        if claimed is None:
            return None
        attempt = self._attempt(claimed, holder)
        if attempt is None:
            async with self._database.write() as tx:
                await image_rows.lock(tx, claimed.image_id or "")
                await self._spoil(tx, claimed, holder)
        return attempt

    def _attempt(self, claimed: jobs.Claimed, holder: str) -> Attempt | None:
        """Give the attempt at a job; None where this version cannot do it."""
        task, caller = claimed.task, claimed.caller
        if task is None or caller is None or task.type not in self._works:
            return None
        return Attempt(task, holder, caller, claimed.secret, self._lifetime)

    async def _spoil(self, tx: Transaction, claimed: jobs.Claimed, holder: str) -> None:
        """End a job that this version cannot do, and let its image go."""
        await jobs.spoil(tx, claimed.id, holder, _UNREADABLE, now() + self._lifetime)
        await let_go(tx, claimed.image_id or "", claimed.id, _UNREADABLE)

    async def _work(self, attempt: Attempt) -> None:
        """Bring one attempt to an end, whatever happens."""
        work = self._works[attempt.task.type]
        log = self._log.bind(task_id=attempt.task.id, image_id=attempt.task.image_id)
        log.info("job begins", type=attempt.task.type, attempt=attempt.task.attempts)
        try:
            await self._settle(attempt, work, await self._outcome(attempt, work, log))
        except Gone:
            log.warning("job was lost")
        else:
            log.info("job has ended its attempt", state=attempt.task.state, message=attempt.task.message)

    async def _outcome(
        self, attempt: Attempt, work: Work, log: structlog.typing.FilteringBoundLogger
    ) -> BaseException | None:
        """Work; give what it failed with, None where it did not."""
        try:
            _check_worth_trying(attempt.task)
            async with self._beating(attempt):
                async with self._database.write() as tx:
                    await image_rows.lock(tx, attempt.task.image_id or "")
                    await attempt.check(tx)
                    await work.undo(tx, attempt.task)
                await work.run(attempt)
        except (TintypeError, asyncio.CancelledError) as error:
            if isinstance(error, Unavailable) or hasattr(error, "__notes__"):  # only the log says why
                log.error("job attempt failed", reason=reason_of(error))  # noqa: TRY400 (no mistake of ours)
            return error
        except Exception as error:
            log.exception("job failed")
            return error
        self._metrics.jobs.labels(attempt.task.type, SUCCESS).inc()
        return None

    async def _settle(self, attempt: Attempt, work: Work, error: BaseException | None) -> None:
        """Store what became of a failed attempt: another one, or the end."""
        if error is None:
            return
        if isinstance(error, Gone) and error.message == LOST:
            raise error
        tries = attempt.task.attempts
        async with self._database.write(durable=True) as tx:  # the image, the job, the bytes: always so
            await image_rows.lock(tx, attempt.task.image_id or "")
            if isinstance(error, asyncio.CancelledError):
                await attempt.put_back(tx, HANDED_OVER, 0, counted=False)
            elif _may_go_better(error) and tries < _ATTEMPTS:
                await attempt.put_back(tx, str(error), _PAUSES[tries - 1], counted=True)
            else:
                reason = error.message if isinstance(error, TintypeError) else _BROKEN
                await attempt.fail(tx, reason)
                await work.fail(tx, attempt.task, reason)
                self._metrics.jobs.labels(attempt.task.type, FAILURE).inc()
            await work.undo(tx, attempt.task)

    def _beating(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Give signs of life; end the work inside where the job was lost, or shall end."""
        held_until = now() + HOLD

        async def beat() -> TintypeError | None:
            nonlocal held_until
            try:
                async with self._database.write() as tx:
                    ended = await attempt.beat(tx)
            except Unavailable:
                return None if now() < held_until else Gone(LOST)
            held_until = now() + HOLD
            return ended

        return beating(beat, _BEAT_SECONDS)


def _may_go_better(error: BaseException) -> bool:
    """Say whether another attempt may do: a part did not answer, or a lease was lost to sleep."""
    return isinstance(error, Unavailable) or (isinstance(error, Gone) and error.message != DELETED)


def _check_worth_trying(task: Task) -> None:
    if task.cancelled:
        raise Conflict(CANCELLED)
    if task.attempts > _CRASHES:
        raise Conflict(GIVEN_UP)


_UNREADABLE: Final = "The task was made by another version of the service, which this one cannot read."
_BROKEN: Final = "Something went wrong in the server during the task; its log has the details."
