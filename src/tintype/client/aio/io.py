"""What an asynchronous client does otherwise than a blocking one; `blocking/io.py` is the twin."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Awaited = Awaitable
"""What a method gives: here something to wait for."""
sleep: Final = asyncio.sleep
Lock: Final = asyncio.Lock


async def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may block."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def every(
    work: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int, abandon: Callable[[], None]
) -> None:
    """Do something with each item, several at once. The first failure ends all; `abandon` is told of it."""
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
