"""Work for clients that are there: it ends where its client goes away."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tintype.errors import Disconnected

if TYPE_CHECKING:
    from tintype.api.app import Call

T = TypeVar("T")

_GONE: Final = "The client closed the connection before it had its answer."


async def while_present(call: "Call", work: Coroutine[Any, Any, T]) -> T:
    """Return what work returns; cancel it, and raise Disconnected, where its client goes away before.

    For work that waits in a queue. The body of the request must have been read.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(call))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return await working  # it was past what can be cancelled
        raise Disconnected(_GONE)
    except asyncio.CancelledError:
        working.cancel()
        await asyncio.wait([working])
        raise
    finally:
        leaving.cancel()


async def _gone(call: "Call") -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
