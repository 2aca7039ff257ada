"""Whether the service can do its work, part by part."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sqlalchemy import literal, select

from tintype.blobs.base import BlobStore, Checkable
from tintype.db.engine import Database
from tintype.errors import TintypeError

_PATIENCE_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0
"""For which an answer of the database is good: checks cost it nothing, however many there are."""
_PING: Final = select(literal(1))
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


class Health:
    """Asks the parts that the service stands on."""

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        identity: Callable[[], Awaitable[None]],
    ) -> None:
        """Make it; `identity` raises Unavailable where who is calling cannot be asked."""
        self._database = database
        self._stores = stores
        self._identity = identity
        self._asked_at = -_FRESH_SECONDS
        self._ready = False
        self._asking = asyncio.Lock()

    async def ready(self) -> bool:
        """Say whether requests can be served now: whether the database answers."""
        async with self._asking:
            if time.monotonic() > self._asked_at + _FRESH_SECONDS:
                self._ready = (await _tried(self._ping))["ok"]
                self._asked_at = time.monotonic()
        return self._ready

    async def detail(self) -> dict[str, dict[str, Any]]:
        """Ask every part, at once: whether it is well, how many milliseconds it took, and what it said."""
        parts = {"database": self._ping, "identity": self._identity}
        parts |= {f"store {name}": _asks(store) for name, store in self._stores.items()}
        found = await asyncio.gather(*(_tried(ask) for ask in parts.values()))
        return dict(zip(parts, found, strict=True))

    async def _ping(self) -> None:
        async with self._database.read() as tx:
            await tx.execute(_PING)


def _asks(store: BlobStore) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        if isinstance(store, Checkable):
            await store.check()
        else:
            await store.size(_NOBODY)

    return ask


async def _tried(ask: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    started = time.monotonic()
    found: dict[str, Any] = {"ok": True}
    asking = asyncio.ensure_future(ask())
    await asyncio.wait([asking], timeout=_PATIENCE_SECONDS)
    if not asking.done():  # nor waited for: to go away from a silent server takes as long
        asking.cancel()
        return {"ok": False, "reason": f"No answer in {_PATIENCE_SECONDS:.0f} s."}
    try:
        asking.result()
    except TintypeError as error:
        found = {"ok": False, "reason": error.message}
    except Exception as error:  # noqa: BLE001 (the other parts are asked for, too)
        found = {"ok": False, "reason": type(error).__name__}
    return {**found, "ms": round((time.monotonic() - started) * 1000, 1)}
