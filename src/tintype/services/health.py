"""Whether the service can do its work, part by part."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import literal, select

from tintype.blobs.base import BlobStore
from tintype.db.engine import Database
from tintype.errors import Unavailable
from tintype.observability.failures import reason_of

_PATIENCE_SECONDS: Final = 2.0
_START_SECONDS: Final = 10.0
_DATABASE_SECONDS: Final = 1.0
_PART_SECONDS: Final = 5.0
"""For which an answer of the database, or of another part, is good: probes cost little, however many come."""
_PING: Final = select(literal(1))

Ask = Callable[[], Awaitable[None]]


class Finding(msgspec.Struct, frozen=True):
    """How a part is: what it failed with, if it did, and how many milliseconds it took to say so."""

    failure: Exception | None
    ms: float

    @property
    def reason(self) -> str:
        """Why the part cannot work, for an operator; empty where it can."""
        return "" if self.failure is None else reason_of(self.failure)


class Health:
    """Asks the parts that the service stands on."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore], identity: Ask | None) -> None:
        """Create it; `identity` raises Unavailable where callers cannot be recognised."""

        async def ping() -> None:
            async with database.read() as tx:
                await tx.execute(_PING)

        self._database = _Part(ping, _DATABASE_SECONDS)
        self._parts = {"database": self._database}
        if identity is not None:
            self._parts["identity"] = _Part(identity, _PART_SECONDS)
        self._parts |= {f"store {name}": _Part(store.check, _PART_SECONDS) for name, store in stores.items()}

    async def ready(self) -> None:
        """Raise Unavailable where requests cannot be served now: where the database does not answer."""
        failure = (await self._database.find()).failure
        if failure is not None:
            raise Unavailable("The database does not answer.", retry_after=1) from failure

    async def warn(self, log: structlog.typing.FilteringBoundLogger) -> None:
        """Log each part that does not work now: at the start, before anybody needs it.

        Probes do not wait for this, so a slow part is given more time than they give it.
        """
        asked = (tried(part.ask, _START_SECONDS) for part in self._parts.values())
        for name, finding in zip(self._parts, await asyncio.gather(*asked), strict=True):
            if finding.failure is not None:
                log.warning("part does not work", part=name, reason=finding.reason)

    async def detail(self) -> dict[str, dict[str, Any]]:
        """Return whether each part works, how many milliseconds it took to say so, and what is wrong."""
        shown: dict[str, dict[str, Any]] = {}
        found = await asyncio.gather(*(part.find() for part in self._parts.values()))
        for name, finding in zip(self._parts, found, strict=True):
            shown[name] = {"ok": finding.failure is None, "ms": finding.ms}
            if finding.failure is not None:
                shown[name]["reason"] = finding.reason
        return shown


class _Part:
    """A part that is asked again when its last answer is too old, once for all who want to know."""

    def __init__(self, ask: Ask, seconds: float) -> None:
        self.ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._found: tuple[float, Finding] | None = None

    async def find(self) -> Finding:
        """Return how the part is, or was a moment ago."""
        async with self._asking:
            if self._found is None or time.monotonic() > self._found[0] + self._seconds:
                self._found = (time.monotonic(), await tried(self.ask, _PATIENCE_SECONDS))
            return self._found[1]


async def tried(ask: Ask, seconds: float) -> Finding:
    """Ask a part. One that is silent for longer is not waited for: to go away from it takes as long."""
    started = time.monotonic()
    asking = asyncio.ensure_future(ask())
    await asyncio.wait([asking], timeout=seconds)
    ms = round((time.monotonic() - started) * 1000, 1)
    if not asking.done():
        asking.cancel()
        return Finding(Unavailable(f"No answer in {seconds:.0f} s."), ms)
    failure = asking.exception()
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    return Finding(failure, ms)
