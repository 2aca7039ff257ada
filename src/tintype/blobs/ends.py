"""Work that must come to its end, whatever becomes of whoever waits for it."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(work: asyncio.Future[Any]) -> None:
    """Wait until something has ended, however often whoever waits is cancelled; how it ended is kept in it.

    A thread cannot be cancelled: what it works on (a buffer, a file descriptor) may be let go of
    only then.
    """
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do what must be done, however often whoever waits for it is cancelled.

    That is forgotten here: it is for work that is about to end. A loop around this would go on.
    """
    task = asyncio.ensure_future(work)
    await settled(task)
    return task.result()
