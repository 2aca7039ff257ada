"""Blocking calls to Keystone, run in threads behind a circuit breaker.

A call waits for a thread in a bounded queue in which groups take turns, so one client's flood does not hold
up the others. A cancelled call leaves the queue.

If a call is not answered within a second, Keystone is probed with a cheap request. If that fails too, or a
connection is refused, the breaker opens: calls fail at once until a probe or a late answer succeeds.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Literal, NamedTuple, ParamSpec, TypeVar

import structlog
from keystoneauth1 import session as keystone
from keystoneauth1.exceptions import (
    ClientException,
    ConnectFailure,
    ConnectTimeout,
    HttpError,
    Unauthorized,
)
from keystoneauth1.exceptions import ConnectionError as NoConnection

from tintype.blobs.failures import service_failure, status_text
from tintype.domain.breaker import Breaker
from tintype.domain.turns import Bounds
from tintype.errors import TintypeError, Unavailable
from tintype.observability.failures import cause_of, reason_of
from tintype.services.turns import Queue

_SILENT_SECONDS: Final = 1.0
"""How long a call may be unanswered before Keystone is probed."""
_PROBE_SECONDS: Final = 2.0
"""Timeout of a probe."""
_PAUSE_SECONDS: Final = 1.0

P = ParamSpec("P")
T = TypeVar("T")


class CallBounds(NamedTuple):
    """How many calls of a kind run at once, and how many may wait."""

    at_once: int
    waiting: Bounds


class _Pool:
    """Threads for calls, and the queue in which calls wait for one."""

    def __init__(self, name: str, bounds: CallBounds) -> None:
        self.queue = Queue(bounds.at_once, bounds.waiting)
        self.threads = ThreadPoolExecutor(bounds.at_once, f"keystone {name}")


class KeystoneCalls:
    """Runs calls to one Keystone. Must be used on the event loop."""

    def __init__(
        self,
        session: keystone.Session,
        auth_url: str,
        log: structlog.typing.FilteringBoundLogger,
        *,
        tokens: CallBounds,
        logins: CallBounds,
    ) -> None:
        """Probes use `session`. Logins never delay the validation of tokens."""
        self.session = session
        self.url = v3_url(auth_url)
        self._log = log
        self._breaker = Breaker(pause=_PAUSE_SECONDS)
        self._failure: Unavailable | None = None
        """The error that began the outage."""
        self._outage: asyncio.Future[None] | None = None
        """Done when an outage begins, for callers that can continue without an answer."""
        self._probing: asyncio.Task[None] | None = None
        self._prober = ThreadPoolExecutor(1, "keystone probe")
        self._bounds = {"tokens": tokens, "logins": logins}
        self._pools = self._new_pools()

    async def run(
        self,
        pool_name: Literal["tokens", "logins"],
        group: str,
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a blocking call in a thread, after waiting for one as `group`.

        Raises Unavailable if Keystone does not answer, TooManyAttempts if too many calls are waiting.
        """
        if self._failure is not None:
            raise _repeated(self._failure)
        pool = self._pools[pool_name]
        working = asyncio.create_task(self._in_turn(pool, group, partial(call, *args, **kwargs)))
        try:
            await self._probe_while_silent(working)
        except asyncio.CancelledError:
            working.cancel()  # it leaves the queue; a call that has a thread continues
            working.add_done_callback(_retrieve)
            raise
        if working.cancelled():  # it was waiting for a thread when an outage began
            raise _repeated(self._failure or Unavailable("The identity service did not answer."))
        try:
            return working.result()
        except ClientException as error:
            raise unreachable(error) from error

    async def close(self) -> None:
        """Stop probing; wait for a probe that is under way, which takes two seconds at most."""
        if self._probing is not None:
            self._probing.cancel()
        await asyncio.to_thread(self._prober.shutdown)

    async def _in_turn(self, pool: _Pool, group: str, call: Callable[[], T]) -> T:
        """Run a call once a thread is free, and occupy the thread until the call ends."""
        end = await pool.queue.acquire(group)
        if self._failure is not None:
            end()
            raise _repeated(self._failure)
        working = asyncio.get_running_loop().run_in_executor(pool.threads, call)
        working.add_done_callback(partial(self._record, time.monotonic()))
        working.add_done_callback(lambda _: end())
        await asyncio.wait({working})
        return working.result()

    async def _probe_while_silent(self, working: "asyncio.Task[Any]") -> None:
        """Wait until a call has ended; probe Keystone while no call is answered."""
        while not working.done():
            await asyncio.wait({working}, timeout=_SILENT_SECONDS)
            since = time.monotonic() - _SILENT_SECONDS
            if not working.done() and not self._breaker.has_answered_since(since):
                self._probe()

    @property
    def failing(self) -> bool:
        """Whether an outage of Keystone is in progress."""
        return self._failure is not None

    async def wait_ended(self, call: "asyncio.Future[Any]", seconds: float | None) -> bool:
        """Wait until a call has ended, an outage begins or the time is up; return whether it has ended."""
        if self._outage is None:
            self._outage = asyncio.get_running_loop().create_future()
        await asyncio.wait({call, self._outage}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return call.done()

    def _record(self, began: float, call: "asyncio.Future[Any]") -> None:
        """Update the breaker with the outcome of a call, even if nobody waits for its result."""
        error = call.exception()
        if isinstance(error, NoConnection):
            self._open(began, error)
        elif error is None or isinstance(error, HttpError | TintypeError):
            self._close()

    def _open(self, began: float, error: NoConnection) -> None:
        """Begin an outage: fail the calls that wait for a thread, and abandon stuck threads.

        Calls that have a thread continue: a late answer ends the outage, too.
        """
        if not self._breaker.record_failure(began, time.monotonic()):
            return
        self._failure = unreachable(error)
        self._failure.__cause__ = error
        self._log.warning("Keystone does not answer", reason=reason_of(self._failure))
        if self._outage is not None:
            self._outage.set_result(None)
            self._outage = None
        for pool in self._pools.values():
            pool.queue.cancel_waiting()
        self._pools = self._new_pools()
        self._probe()

    def _new_pools(self) -> dict[str, _Pool]:
        return {name: _Pool(name, bounds) for name, bounds in self._bounds.items()}

    def _close(self) -> None:
        seconds = self._breaker.record_answer(time.monotonic())
        self._failure = None
        if seconds is not None:
            self._log.warning("Keystone answers again", seconds=round(seconds, 1))

    def _probe(self) -> None:
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe_until_answered())

    async def _probe_until_answered(self) -> None:
        try:
            while True:
                began = time.monotonic()
                probe = asyncio.get_running_loop().run_in_executor(self._prober, self._ask_version)
                probe.add_done_callback(partial(self._record, began))
                await asyncio.wait({probe})
                if self._breaker.has_answered_since(began) or not self._breaker.is_open:
                    return
                await asyncio.sleep(self._breaker.until_next_probe(began, time.monotonic()))
        finally:
            self._probing = None

    def _ask_version(self) -> None:
        """Request the version document, which needs no token; any answer will do."""
        self.session.get(self.url, authenticated=False, raise_exc=False, log=False, timeout=_PROBE_SECONDS)


def _retrieve(call: "asyncio.Task[Any]") -> None:
    """Retrieve the outcome of an abandoned call, so that asyncio does not log it as never retrieved."""
    if not call.cancelled():
        call.exception()


def with_retry(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function, and once more if the connection fails: a kept-alive one may have been closed.

    A timeout is not retried.
    """
    try:
        return call(*args, **kwargs)
    except ConnectTimeout:
        raise
    except ConnectFailure:
        return call(*args, **kwargs)


def v3_url(auth_url: str) -> str:
    """Return the URL of version 3 of the API, whether or not `auth_url` ends with the version."""
    return f"{auth_url.rstrip('/').removesuffix('/v3')}/v3"


def unreachable(error: Exception) -> Unavailable:
    """Return the error for an unreachable Keystone; its text has no addresses and no credentials."""
    if isinstance(error, Unauthorized):
        failure = Unavailable("The image service cannot log in to the identity service.", retry_after=5)
        failure.add_note("keystone.username, its domain, its project or TINTYPE_KEYSTONE_PASSWORD is wrong")
        return failure
    message = f"The identity service cannot be used: {service_failure(error)}."
    return Unavailable(message, retry_after=5)


def unexpected_status(status: int) -> Unavailable:
    """Return the error for an unexpected answer of Keystone."""
    return Unavailable(f"The identity service answered {status_text(status)}.", retry_after=5)


def _repeated(failure: Unavailable) -> Unavailable:
    """Return a copy of the outage's first error, to be raised for another call."""
    repeated = Unavailable(failure.message, retry_after=5)
    repeated.add_note(cause_of(failure) or "Keystone was not asked again")
    return repeated
