"""The differences between the asynchronous and the blocking client; see `blocking/io.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Awaited = Awaitable
"""The result of a method: here an awaitable."""
sleep: Final = asyncio.sleep
Lock: Final = asyncio.Lock


async def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may block, in a thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def every(
    work: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int, abandon: Callable[[], None]
) -> None:
    """Process items concurrently. On the first failure, call `abandon` and cancel the others."""
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.ensure_future(run()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        abandon()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
