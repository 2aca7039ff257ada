"""Locations that are added: the states that an image passes through, here and in a Glance."""

import asyncio
import contextlib
import functools
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

import web
from glance import Glance
from guarded import RAW, Send
from inprocess import Prepared
from twins import DATA, senders, tintype

pytestmark = [
    pytest.mark.needs("glance"),
    pytest.mark.xdist_group("glance"),
    pytest.mark.parametrize("prepared", ["sqlite"], indirect=True),
]
SHA512 = hashlib.sha512(DATA).hexdigest()
RIGHT = {"os_hash_algo": "sha512", "os_hash_value": SHA512}
WRONG = {"os_hash_algo": "sha512", "os_hash_value": "ab" * 64}


@pytest_asyncio.fixture
async def both(
    peer: Glance,
    source: web.Server,
    prepared: Prepared,
    tmp_path: Path,
) -> AsyncIterator[tuple[Send, Send]]:
    """Give ways to ask a Tintype, at work, and the Glance."""
    async with tintype(prepared, tmp_path, source.server_port) as (made, client):
        work = asyncio.create_task(made.worker.run())
        with httpx2.Client(base_url=peer.url, timeout=60) as connection:
            yield senders(client, connection)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def begun(send: Send, url: str, **more: Any) -> str:
    """Add a location to a new image; gives the image's path."""
    made = await send("owner", "POST", "/v2/images", json=RAW)
    path = f"/v2/images/{made.json()['id']}"
    added = await send("owner", "POST", f"{path}/locations", json={"url": url, **more})
    assert added.status_code == 202, added.text
    return path


async def until(send: Send, path: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Give the image as soon as something holds of it."""
    deadline = time.monotonic() + 60
    while not holds(shown := (await send("owner", "GET", path)).json()):
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)
    return dict(shown)


async def ended(send: Send, path: str) -> dict[str, Any]:
    """Give the image when no task is at work on it any more."""
    return await until(send, path, lambda shown: "os_glance_import_task" not in shown)


async def test_while_it_is_read(both: tuple[Send, Send], source: web.Server, gate: threading.Event) -> None:
    """With digests to hold it against it is importing, then active."""
    for send in both:
        gate.clear()
        path = await begun(send, f"{source.url}/slow", validation_data=RIGHT)
        shown = await until(send, path, lambda shown: shown["status"] != "queued")
        assert (shown["status"], "os_glance_import_task" in shown) == ("importing", True)
        gate.set()
        shown = await ended(send, path)
        assert (shown["status"], shown["os_hash_value"], shown["stores"]) == ("active", SHA512, "web")


def has_ended(seen: set[str], shown: dict[str, Any]) -> bool:
    """Say whether the task of an image is over, and note the status of the image."""
    seen.add(shown["status"])
    return "os_glance_import_task" not in shown


async def test_where_there_is_nothing(both: tuple[Send, Send], source: web.Server) -> None:
    """It has never been anything but queued, and names no store."""
    for send in both:
        path = await begun(send, f"{source.url}/absent")
        seen: set[str] = set()
        shown = await until(send, path, functools.partial(has_ended, seen))
        assert (seen, "stores" in shown) == ({"queued"}, False)


async def test_other_bytes_than_declared(
    both: tuple[Send, Send], source: web.Server, gate: threading.Event
) -> None:
    """It is queued again, without digests, and names the store where the other bytes are."""
    gate.set()
    stores = []
    for send in both:
        shown = await ended(send, await begun(send, f"{source.url}/slow", validation_data=WRONG))
        assert (shown["status"], shown["os_hash_value"], shown["checksum"]) == ("queued", None, None)
        stores.append(shown.get("stores"))
    assert stores == ["web", "web"]
