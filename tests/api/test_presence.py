"""Requests whose client goes away, or that are cancelled, while their work is done."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from tintype.api.presence import while_present
from tintype.errors import Disconnected


class Client:
    """A client that goes away when it is told to."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        self.call: Any = SimpleNamespace(receive=self.receive)

    async def receive(self) -> dict[str, str]:
        await self.leaving.wait()
        return {"type": "http.disconnect"}


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("steps_before", range(6))
async def test_a_request_that_is_cancelled_as_its_client_leaves(steps_before: int) -> None:
    """It is cancelled at every step of that, and waits for the end of the work."""
    client, ended = Client(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await steps(4)  # it puts away what it had
            ended.set()

    request = asyncio.create_task(while_present(client.call, work()))
    await steps(3)
    client.leaving.set()
    await steps(steps_before)
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request
    assert request.cancelled()
    assert ended.is_set()


async def test_work_past_its_end_is_told() -> None:
    """Work that cannot be cancelled any more gives its result; other work ends, and nobody is told."""
    client, go = Client(), asyncio.Event()

    async def cannot_be_cancelled() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await go.wait()
        return "done"

    client.leaving.set()
    assert await while_present(client.call, cannot_be_cancelled()) == "done"
    with pytest.raises(Disconnected):
        await while_present(client.call, go.wait())
