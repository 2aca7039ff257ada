"""Work that cancellation must not interrupt."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_settled(work: asyncio.Future[Any]) -> None:
    """Wait until a future is done, however often the waiting task is cancelled; do not retrieve its result.

    A thread cannot be cancelled: what it works on (a buffer, a file descriptor) may be released only then.
    """
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, however often the waiting task is cancelled.

    Cancellations meanwhile are swallowed, so this is for cleanup in a task that is about to end anyway;
    a loop around it would not stop.
    """
    task = asyncio.ensure_future(work)
    await wait_settled(task)
    return task.result()
