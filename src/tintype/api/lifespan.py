"""ASGI's lifespan: what the routes need is opened before the first request and closed after the last."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from typing import Final

from starlette.types import Receive, Send

from tintype.errors import TintypeError

_LAST_SECONDS: Final = 15


async def live(
    lifespan: AbstractAsyncContextManager[None], idle: asyncio.Event, receive: Receive, send: Send
) -> None:
    """Enter the lifespan, and leave it when the server stops and `idle` is set.

    Requests that were cancelled roll back what they began first: they need the database for it.
    """
    await receive()
    try:
        async with lifespan:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await idle.wait()
    except TintypeError as error:
        await send({"type": "lifespan.startup.failed", "message": error.message})
        return
    await send({"type": "lifespan.shutdown.complete"})
