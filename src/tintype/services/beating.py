"""Signs of life, given for as long as some work goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from tintype.errors import TintypeError, Unavailable

_RETRY_SECONDS: Final = 1.0
"""Until a sign of life is given again which the database did not take."""

Beat = Callable[[], Awaitable[TintypeError | None]]
"""Gives a sign of life, and what the work shall end with, if it shall."""


@contextlib.asynccontextmanager
async def beating(beat: Beat, seconds: float) -> AsyncIterator[None]:
    """Beat every so many seconds until the work inside has ended; end it with what a beat gives first."""
    work = asyncio.current_task()
    ended: Exception | None = None

    async def go_on() -> None:
        nonlocal ended
        pause = seconds
        while work is not None:  # work that was told to end still saves what it has: it holds on to the end
            await asyncio.sleep(pause)
            pause = seconds
            try:
                found: Exception | None = await beat()
            except Unavailable:  # a beat that did not come: holds outlive some
                pause = min(seconds, _RETRY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 (work must not go on without signs of life)
                found = error
            if found is not None and ended is None and work is not None:
                ended = found
                work.cancel()

    heart = asyncio.create_task(go_on())
    try:
        yield
    except asyncio.CancelledError:
        if ended is not None and work is not None:
            work.uncancel()
            raise ended from None
        raise
    finally:
        work = None  # and so the beats end: one may swallow that it is cancelled, as with a driver it did
        heart.cancel()
