"""The worker: takes jobs that are due, works on some of them at once, and has each come to an end.

A job is held by an attempt that gives a sign of life every few seconds. Where the signs end, with the
process or the machine, the next worker that looks takes the job over; what the attempt before has left
half done it undoes first. Whatever stands in a database or a store is written under the attempt's name,
so one that was only asleep changes nothing any more.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from tintype.blobs.cancellation import wait_settled
from tintype.db import images as image_rows
from tintype.db import jobs
from tintype.db.engine import Database, Transaction, now
from tintype.domain.tasks import FAILURE, LANES, SUCCESS, Task
from tintype.errors import Conflict, Gone, TintypeError, Unavailable
from tintype.jobs.attempts import CANCELLED, DELETED, HOLD, LOST, Attempt, Work
from tintype.jobs.lanes import Lane
from tintype.observability.failures import reason_of
from tintype.observability.metrics import Metrics
from tintype.services.imports import let_go
from tintype.services.leases import heartbeat

_BEAT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 2.0
_ATTEMPTS: Final = 3
"""Of a job whose stores or source do not answer."""
_CRASHES: Final = 5
"""Attempts after which a job is given up that ends with its worker each time."""
_PAUSES: Final = (5_000_000, 20_000_000)
"""Microseconds until the next attempt."""
GIVEN_UP: Final = f"The task was given up: {_CRASHES} workers ended while they were at work on it."
HANDED_OVER: Final = "The worker was stopped; the task waits for another one."


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
        """Make it, with `concurrency` slots in each lane; ended ones last `lifetime` microseconds."""
        self._database = database
        self._works = works
        self._log = log
        self._metrics = metrics
        self._lanes = tuple(Lane(name, concurrency, self._note_left) for name in LANES)
        self._lifetime = lifetime

    def wake(self) -> None:
        """Look for work now."""
        for lane in self._lanes:
            lane.wake()

    async def end(self, task_id: str) -> bool:
        """End a job now where nobody is at work on it, or have who is end it; False where it has ended."""
        async with self._database.write(durable=True) as tx:
            found = await jobs.get(tx, task_id)
            if found is not None:
                await image_rows.lock(tx, found.image_id or "")
            holder = str(uuid.uuid4())
            taken = await jobs.acquire(tx, task_id, holder, HOLD)
            if taken is None:
                return await jobs.cancel(tx, task_id, now())
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
        serving = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]
        try:
            await asyncio.gather(*serving)
        finally:
            for task in (listening, *serving):
                task.cancel()
            await asyncio.wait(serving)
            await asyncio.gather(*(lane.close() for lane in self._lanes))

    def _note_left(self, error: BaseException) -> None:
        self._log.error("a job was left", reason=reason_of(error))

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
                    self._log.error("no job can be taken", reason=reason_of(error))
            stalled = await lane.pause(_POLL_SECONDS) or stalled
            if stalled:  # live attempts may have been unable to renew their leases
                await asyncio.sleep(_BEAT_SECONDS)

    async def _start_next(self, lane: Lane) -> bool:
        """Claim a job of a lane and start it; return False where none is due.

        When the worker is stopped meanwhile, a job that was claimed is started all the same: the lane stops
        it then, which puts it back.
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
        async with self._database.read() as tx:  # most looks find nothing, and need not write
            if not await jobs.is_due(tx, lane.name, at_limit):
                return None
        async with self._database.write() as tx:
            claimed = await jobs.claim(tx, holder, lane.name, at_limit=at_limit, now=now(), lease=HOLD)
        if claimed is None:
            return None
        attempt = self._attempt(claimed, holder)
        if attempt is None:
            async with self._database.write() as tx:
                await image_rows.lock(tx, claimed.image_id or "")
                await self._spoil(tx, claimed, holder)
        return attempt

    def _attempt(self, claimed: jobs.ClaimedJob, holder: str) -> Attempt | None:
        """Give the attempt at a job; None where this version cannot do it."""
        task, caller = claimed.task, claimed.caller
        if task is None or caller is None or task.type not in self._works:
            return None
        return Attempt(task, holder, caller, claimed.secret, self._lifetime)

    async def _spoil(self, tx: Transaction, claimed: jobs.ClaimedJob, holder: str) -> None:
        """End a job that this version cannot do, and let its image go."""
        await jobs.fail_unreadable(tx, claimed.id, holder, _UNREADABLE, now() + self._lifetime)
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
            async with self._heartbeat(attempt):
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

    def _heartbeat(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        """Renew the attempt's lease while the body runs; end the body where the job is lost or cancelled."""
        held_until = time.monotonic() + HOLD / 1_000_000

        async def renew() -> TintypeError | None:
            nonlocal held_until
            try:
                async with self._database.write() as tx:
                    ended = await attempt.renew(tx)
            except Unavailable:
                return None if time.monotonic() < held_until else Gone(LOST)
            held_until = time.monotonic() + HOLD / 1_000_000
            return ended

        return heartbeat(renew, _BEAT_SECONDS)


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
