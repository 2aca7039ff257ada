"""The worker: claims jobs that are due, runs several at once, and brings each to an end.

An attempt holds its job under a lease that a heartbeat renews every few seconds. If the process or the
machine dies, the lease expires, and the next worker that polls claims the job and first undoes what the
previous attempt has left behind. All writes check the lease, so a stalled worker is fenced off.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import structlog

from tintype.blobs.cancellation import wait_settled
from tintype.db import images as image_rows
from tintype.db import jobs
from tintype.db.engine import Database, Transaction, now
from tintype.domain.tasks import FAILURE, LANES, SUCCESS, Task, max_at_once, owners_at_limit
from tintype.errors import Conflict, Gone, TintypeError, Unavailable
from tintype.jobs.attempts import CANCELLED, DELETED, JOB_LEASE, LOST, Attempt, Work
from tintype.observability.failures import reason_of
from tintype.observability.metrics import Metrics
from tintype.services.imports import release_from_task
from tintype.services.leases import heartbeat, wait_detecting_stall

_HEARTBEAT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 2.0
_ATTEMPTS: Final = 3
"""Attempts at a job whose stores or source do not answer."""
_CRASHES: Final = 5
"""Attempts after which a job is given up if the worker dies each time."""
_PAUSES: Final = (5_000_000, 20_000_000)
"""Microseconds before the second and the third attempt."""
GIVEN_UP: Final = f"The task was aborted: {_CRASHES} workers ended while they ran it."
HANDED_OVER: Final = "The worker was stopped; the task waits for another one."


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


class Worker:
    """Runs jobs until it is cancelled."""

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
        """Each lane has `concurrency` slots; ended jobs are kept for `lifetime` microseconds."""
        self._database = database
        self._works = works
        self._log = log
        self._metrics = metrics

        def log_failure(error: BaseException) -> None:
            log.error("job could not be released", reason=reason_of(error))

        self._lanes = tuple(Lane(name, concurrency, log_failure) for name in LANES)
        self._lifetime = lifetime

    def wake(self) -> None:
        """Look for work now."""
        for lane in self._lanes:
            lane.wake()

    async def cancel(self, task_id: str) -> bool:
        """Cancel a job at once, or ask its worker to; return False if it has ended."""
        async with self._database.write(durable=True) as tx:
            found = await jobs.get(tx, task_id)
            if found is not None:
                await image_rows.lock(tx, found.image_id or "")
            holder = str(uuid.uuid4())
            taken = await jobs.acquire(tx, task_id, holder, JOB_LEASE)
            if taken is None:
                return await jobs.cancel(tx, task_id, now())
            attempt = self._attempt(taken, holder)
            if attempt is None:
                await self._fail_unreadable(tx, taken, holder)
                return True
            await attempt.fail(tx, CANCELLED)
            await self._works[attempt.task.type].undo(tx, attempt.task)
            await self._works[attempt.task.type].fail(tx, attempt.task, CANCELLED)
        return True

    async def run(self) -> None:
        """Run jobs until cancelled, then requeue those that are running."""
        listening = asyncio.create_task(self._database.listen(self.wake))
        serving = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]
        try:
            await asyncio.gather(*serving)
        finally:
            for task in (listening, *serving):
                task.cancel()
            await asyncio.wait(serving)
            await asyncio.gather(*(lane.close() for lane in self._lanes))

    async def _serve(self, lane: Lane) -> None:
        """Start jobs of a lane as soon as they may run."""
        while True:
            stalled = False
            try:
                if not lane.is_full and await self._start_next(lane):
                    continue
            except Exception as error:  # noqa: BLE001 (the one task that must never end)
                stalled = isinstance(error, Unavailable)
                with contextlib.suppress(OSError):
                    self._log.error("jobs cannot be claimed", reason=reason_of(error))
            stalled = await lane.pause(_POLL_SECONDS) or stalled
            if stalled:  # live attempts may have been unable to renew their leases
                await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _start_next(self, lane: Lane) -> bool:
        """Claim a job of a lane and start it; return False if none is due.

        If the worker is stopped meanwhile, a claimed job is started all the same: the lane then cancels it,
        which requeues it.
        """

        async def start() -> bool:
            attempt = await self._claim(lane)
            if attempt is not None:
                lane.start(attempt, self._work(attempt))
            return attempt is not None

        starting = asyncio.ensure_future(start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await wait_settled(starting)
            raise

    async def _claim(self, lane: Lane) -> Attempt | None:
        holder, at_limit = str(uuid.uuid4()), lane.owners_at_limit
        async with self._database.read() as tx:  # most polls find nothing, and need no write transaction
            if not await jobs.is_due(tx, lane.name, at_limit):
                return None
        async with self._database.write() as tx:
            claimed = await jobs.claim(tx, holder, lane.name, at_limit=at_limit, now=now(), lease=JOB_LEASE)
        if claimed is None:
            return None
        attempt = self._attempt(claimed, holder)
        if attempt is None:
            async with self._database.write() as tx:
                await image_rows.lock(tx, claimed.image_id or "")
                await self._fail_unreadable(tx, claimed, holder)
        return attempt

    def _attempt(self, claimed: jobs.ClaimedJob, holder: str) -> Attempt | None:
        """Return the attempt at a job, or None if this version cannot do it."""
        task, caller = claimed.task, claimed.caller
        if task is None or caller is None or task.type not in self._works:
            return None
        return Attempt(task, holder, caller, claimed.secret, self._lifetime)

    async def _fail_unreadable(self, tx: Transaction, claimed: jobs.ClaimedJob, holder: str) -> None:
        """Fail a job that this version cannot do, and release its image."""
        await jobs.fail_unreadable(tx, claimed.id, holder, _UNREADABLE, now() + self._lifetime)
        await release_from_task(tx, claimed.image_id or "", claimed.id, _UNREADABLE)

    async def _work(self, attempt: Attempt) -> None:
        """Run one attempt and settle its outcome."""
        work = self._works[attempt.task.type]
        log = self._log.bind(task_id=attempt.task.id, image_id=attempt.task.image_id)
        log.info("job attempt started", type=attempt.task.type, attempt=attempt.task.attempts)
        try:
            await self._settle(attempt, work, await self._try(attempt, work, log))
        except Gone:
            log.warning("job was lost")
        else:
            log.info("job attempt ended", state=attempt.task.state, message=attempt.task.message)

    async def _try(
        self, attempt: Attempt, work: Work, log: structlog.typing.FilteringBoundLogger
    ) -> BaseException | None:
        """Do the work; return the error, or None on success."""
        try:
            _check_runnable(attempt.task)
            async with self._heartbeat(attempt):
                async with self._database.write() as tx:
                    await image_rows.lock(tx, attempt.task.image_id or "")
                    await attempt.check(tx)
                    await work.undo(tx, attempt.task)
                await work.run(attempt)
        except (TintypeError, asyncio.CancelledError) as error:
            if isinstance(error, Unavailable) or hasattr(error, "__notes__"):  # only the log says why
                log.warning("job attempt failed", reason=reason_of(error))  # maybe a user's source
            return error
        except Exception as error:
            log.exception("job failed")
            return error
        self._metrics.jobs.labels(attempt.task.type, SUCCESS).inc()
        return None

    async def _settle(self, attempt: Attempt, work: Work, error: BaseException | None) -> None:
        """Requeue the job of a failed attempt, or fail it for good."""
        if error is None:
            return
        if isinstance(error, Gone) and error.message == LOST:
            raise error
        tries = attempt.task.attempts
        async with self._database.write(durable=True) as tx:  # lock order: image, job, blobs
            await image_rows.lock(tx, attempt.task.image_id or "")
            retriable = isinstance(error, Unavailable) or (
                isinstance(error, Gone) and error.message != DELETED
            )
            if isinstance(error, asyncio.CancelledError):
                await attempt.requeue(tx, HANDED_OVER, 0, counted=False)
            elif retriable and tries < _ATTEMPTS:
                await attempt.requeue(tx, str(error), _PAUSES[tries - 1], counted=True)
            else:
                reason = error.message if isinstance(error, TintypeError) else _BROKEN
                await attempt.fail(tx, reason)
                await work.fail(tx, attempt.task, reason)
                self._metrics.jobs.labels(attempt.task.type, FAILURE).inc()
            await work.undo(tx, attempt.task)

    def _heartbeat(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Renew the attempt's lease while the body runs; end the body if the job is lost or cancelled."""
        held_until = time.monotonic() + JOB_LEASE / 1_000_000

        async def renew() -> TintypeError | None:
            nonlocal held_until
            try:
                async with self._database.write() as tx:
                    ended = await attempt.renew(tx)
            except Unavailable:
                return None if time.monotonic() < held_until else Gone(LOST)
            held_until = time.monotonic() + JOB_LEASE / 1_000_000
            return ended

        return heartbeat(renew, _HEARTBEAT_SECONDS)


def _check_runnable(task: Task) -> None:
    if task.cancelled:
        raise Conflict(CANCELLED)
    if task.attempts > _CRASHES:
        raise Conflict(GIVEN_UP)


_UNREADABLE: Final = (
    "The task was created by another version of the service, and this version cannot read it."
)
_BROKEN: Final = "Something went wrong in the server during the task; its log has the details."
