"""Fetches queued images into this node's cache, and maintains the cache."""

import asyncio
import contextlib
import time
from typing import Final

import structlog

from tintype.observability.failures import reason_of
from tintype.services.cache import Cache

_LOOK_SECONDS: Final = 5.0
_MAINTAIN_SECONDS: Final = 60.0


class Prefetcher:
    """Runs until it is cancelled, in every process of a node; each piece is fetched only once."""

    def __init__(self, cache: Cache, log: structlog.typing.FilteringBoundLogger) -> None:
        self._cache = cache
        self._log = log

    async def run(self) -> None:
        """Fetch queued images now, then at intervals and when woken; retry whatever fails."""
        maintained = 0.0
        while True:
            self._cache.wake.clear()
            try:
                await self._cache.fetch_queued()
                if time.monotonic() > maintained + _MAINTAIN_SECONDS:
                    maintained = time.monotonic()
                    await self._cache.maintain()
            except Exception as error:  # noqa: BLE001 (the one task that must never end)
                with contextlib.suppress(OSError):
                    self._log.error("cache maintenance failed", reason=reason_of(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._cache.wake.wait()
