"""Health checks of the service, part by part."""

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
"""How long an answer of the database, or of another part, is reused, so that frequent probes stay cheap."""
_PING: Final = select(literal(1))

Ask = Callable[[], Awaitable[None]]


class Finding(msgspec.Struct, frozen=True):
    """The result of probing a part: its failure, if any, and the milliseconds it took to answer."""

    failure: Exception | None
    ms: float

    @property
    def reason(self) -> str:
        """Why the part does not work, for operators; empty if it does."""
        return "" if self.failure is None else reason_of(self.failure)


class Health:
    """Probes the parts that the service depends on."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore], identity: Ask | None) -> None:
        """`identity` raises Unavailable if callers cannot be authenticated."""

        async def ping() -> None:
            async with database.read() as tx:
                await tx.execute(_PING)

        self._database = _Part(ping, _DATABASE_SECONDS)
        self._parts = {"database": self._database}
        if identity is not None:
            self._parts["identity"] = _Part(identity, _PART_SECONDS)
        self._parts |= {f"store {name}": _Part(store.check, _PART_SECONDS) for name, store in stores.items()}

    async def ready(self) -> None:
        """Raise Unavailable if requests cannot be served because the database does not answer."""
        failure = (await self._database.find()).failure
        if failure is not None:
            raise Unavailable("The database does not answer.", retry_after=1) from failure

    async def warn(self, log: structlog.typing.FilteringBoundLogger) -> None:
        """Log each part that does not work, once at the start.

        No request waits for this, so slow parts get more time than in a probe.
        """
        asked = (probe(part.ask, _START_SECONDS) for part in self._parts.values())
        for name, finding in zip(self._parts, await asyncio.gather(*asked), strict=True):
            if finding.failure is not None:
                log.warning("component does not work", part=name, reason=finding.reason)

    async def detail(self) -> dict[str, dict[str, Any]]:
        """Return for each part whether it works, the milliseconds to its answer, and the reason if not."""
        shown: dict[str, dict[str, Any]] = {}
        found = await asyncio.gather(*(part.find() for part in self._parts.values()))
        for name, finding in zip(self._parts, found, strict=True):
            shown[name] = {"ok": finding.failure is None, "ms": finding.ms}
            if finding.failure is not None:
                shown[name]["reason"] = finding.reason
        return shown


class _Part:
    """A part and its last answer, which concurrent probes share and renew when it is too old."""

    def __init__(self, ask: Ask, seconds: float) -> None:
        self.ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._found: tuple[float, Finding] | None = None

    async def find(self) -> Finding:
        """Return the current result, or the last one if it is recent."""
        async with self._asking:
            if self._found is None or time.monotonic() > self._found[0] + self._seconds:
                self._found = (time.monotonic(), await probe(self.ask, _PATIENCE_SECONDS))
            return self._found[1]


async def probe(ask: Ask, seconds: float) -> Finding:
    """Return the result of asking a part; report it as unavailable after `seconds` without an answer."""
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
