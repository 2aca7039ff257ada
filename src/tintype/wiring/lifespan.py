"""The background tasks of the service, and its shutdown."""

import asyncio
import contextlib
import multiprocessing
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from tintype.jobs.prefetcher import Prefetcher
from tintype.services.health import Health
from tintype.wiring.background import Background

_FIRST: Final = frozenset({"MainProcess", "SpawnProcess-1"})
"""Python's names for the only process, and for the first of several."""
_SWITCH_SECONDS: Final = 0.001
"""How long a computing thread may block the event loop, in seconds; Python's default is five times that."""


@contextlib.asynccontextmanager
async def lifespan(service: Background, health: Health) -> AsyncIterator[None]:
    """Run sweeper, worker and cache in the background; close the service at the end.

    Only the first of several processes logs the parts of `health` that do not work.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    threads = ThreadPoolExecutor(service.settings.server.threads, "bytes")
    asyncio.get_running_loop().set_default_executor(threads)
    work: list[Callable[[], Coroutine[Any, Any, None]]] = [service.sweeper.run]
    if service.settings.jobs.concurrency:
        work.append(service.worker.run)
    if multiprocessing.current_process().name in _FIRST:
        work.append(partial(health.warn, service.log))
    if service.cache is not None:
        work.append(Prefetcher(service.cache, service.log).run)
    running = [asyncio.create_task(each()) for each in work]  # once each part is there
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await service.close()
