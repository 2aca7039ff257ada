"""Work that is cancelled when its client disconnects."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from tintype.api.call import Call
from tintype.errors import Disconnected

T = TypeVar("T")

_GONE: Final = "The client closed the connection before it had its answer."


async def while_present(call: Call, work: Coroutine[Any, Any, T]) -> T:
    """Await `work` and return its result; if the client disconnects first, cancel it and raise Disconnected.

    For work that waits in a queue. The body of the request must have been read.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.ensure_future(_gone(call))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait([working])
            if working.cancelled():
                raise Disconnected(_GONE)
        return working.result()  # even if it finished in spite of the cancellation
    except asyncio.CancelledError:
        if not working.cancelling():  # once: a second cancellation would interrupt its cleanup
            working.cancel()
        await asyncio.wait([working])
        raise
    finally:
        leaving.cancel()


async def _gone(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
