"""ASGI's lifespan: opens resources before the first request and closes them after the last."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from typing import Final

from starlette.types import Receive, Send

from tintype.errors import TintypeError

_LAST_SECONDS: Final = 15


async def run_lifespan(
    lifespan: AbstractAsyncContextManager[None], idle: asyncio.Event, receive: Receive, send: Send
) -> None:
    """Enter the lifespan, and leave it when the server stops and `idle` is set.

    Cancelled requests are rolled back before that, because the rollback needs the database.
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
