"""The limits of a project: its quota, enforced inside a transaction, and its concurrent transfers."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tintype.allocator import return_memory
from tintype.db import images as image_rows
from tintype.db.engine import Transaction
from tintype.domain import quotas
from tintype.domain.callers import Caller
from tintype.domain.quotas import NO_LIMITS, Usage
from tintype.errors import TooManyAttempts

_TRIM_SECONDS: Final = 10.0
"""Delay after a transfer begins or ends, and the shortest interval between two trims for its kind."""


def quota_turn(caller: Caller) -> str | None:
    """Return the turn that serializes the transactions counted against the quota of the caller's project."""
    return None if caller.quota == NO_LIMITS else f"quota of {caller.project_id}"


async def enforce_quota(
    tx: Transaction, caller: Caller, owner: str | None, names: Iterable[str]
) -> Usage | None:
    """Raise OverLimit if the usage, changes of the transaction included, exceeds one of the named limits.

    The transaction must have been opened with `quota_turn`. Callers are limited only by the quota of their
    own project: for another owner nothing is checked. Return the usage, or None if nothing was checked.
    """
    if owner != caller.project_id or owner is None or caller.quota == NO_LIMITS:
        return None
    usage = await image_rows.usage(tx, owner)
    quotas.check(caller.quota, usage, names)
    return usage


class Slots:
    """Counts the running transfers of one kind, for each project in this process."""

    def __init__(self, limit: int, kind: str) -> None:
        """Allow each project `limit` transfers at once; `kind` is `uploads` or `downloads`."""
        self._limit = limit
        self._kind = kind
        self._running: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def hold(self, caller: Caller) -> Iterator[None]:
        """Hold a slot of the caller's project until the block ends; raises as `acquire` does."""
        project = self.acquire(caller)
        try:
            yield
        finally:
            self.release(project)

    def acquire(self, caller: Caller) -> str:
        """Acquire a slot of the caller's project; return what to release. Raises as `check` does."""
        project = self.check(caller)
        self._running[project] += 1
        self._trim_soon()
        return project

    def check(self, caller: Caller) -> str:
        """Return the caller's project, or a user without one; raise TooManyAttempts if no slot is free."""
        project = caller.project_id or caller.user_id
        if self._running[project] >= self._limit:
            message = (
                f"The project has {self._limit} {self._kind} running in this server process, the limit of "
                f"images.parallel_{self._kind}. Try again when one has ended."
            )
            raise TooManyAttempts(message, retry_after=5)
        return project

    def release(self, project: str) -> None:
        """Release the slot of a transfer that has ended."""
        self._running[project] -= 1
        if not self._running[project]:
            del self._running[project]
        self._trim_soon()

    def _trim_soon(self) -> None:
        """Schedule a return of free memory to the system, unless one is scheduled."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TRIM_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        """Make the allocator return free pages to the system, which it would keep otherwise."""
        self._timer = None
        with contextlib.suppress(RuntimeError):  # the process is stopping
            asyncio.get_running_loop().run_in_executor(None, return_memory)
