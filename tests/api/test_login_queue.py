"""The queue of log-ins: who is refused before anything is asked or hashed, and what leaves it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inprocess import PASSWORD, Prepared, Service, running
from tintype.db import identity as identity_rows
from tintype.db.tables import failed_logins
from tintype.domain.turns import Bounds
from tintype.services.passwords import Hasher
from tintype.services.turns import Queue
from tintype.settings import IdentitySettings


def body(name: str, password: str) -> dict[str, object]:
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": "unscoped"}}


def from_address(service: Service, address: str) -> httpx2.AsyncClient:
    """Return a client of another address."""
    transport = httpx2.ASGITransport(app=service.parts.app, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver")


class Held:
    """A hasher that is at work until it is let go."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        hasher = service.parts.identity._passwords._hasher
        self.begun = 0
        self.go = asyncio.Event()
        self._verify = hasher.verify
        monkeypatch.setattr(hasher, "verify", self.verify)

    async def verify(self, stored: str | None, secret: str) -> bool:
        self.begun += 1
        await self.go.wait()
        return await self._verify(stored, secret)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come true")


async def until_waiting(service: Service, count: int) -> None:
    """Wait until so many are in the queue."""
    queue = service.parts.identity._passwords._queue
    await until(lambda: len(queue._waiting) == count)


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_who_is_one_too_many_is_refused_at_once(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before the database is asked and anything is hashed, whoever it is about; other addresses are heard."""
    identity = IdentitySettings(login_queue=4, login_queue_per_address=2)
    async with running(prepared, tmp_path, identity=identity) as service:
        held = Held(service, monkeypatch)
        running_ones = service.parts.identity._passwords._queue._at_once
        path = "/identity/v3/auth/tokens"
        async with from_address(service, "192.0.2.1") as flood, from_address(service, "192.0.2.2") as other:
            waiting = [
                asyncio.create_task(flood.post(path, json=body(f"wrong-{number}", "wrong")))
                for number in range(running_ones + 2)
            ]
            await until_waiting(service, 2)
            asked = []
            find_user = identity_rows.find_user

            async def counted(*args: Any, **more: Any) -> Any:
                asked.append(args)
                return await find_user(*args, **more)

            monkeypatch.setattr(identity_rows, "find_user", counted)
            begun = held.begun
            refused = await flood.post(path, json=body(name, PASSWORD))
            assert refused.status_code == 429
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert f"Try again in {refused.headers['retry-after']} s." in refused.text
            assert (asked, held.begun) == ([], begun)
            right = asyncio.create_task(other.post(path, json=body("alice", PASSWORD)))
            await until_waiting(service, 3)
            held.go.set()
            assert (await right).status_code == 201
            assert {(await each).status_code for each in waiting} == {401}


async def test_who_is_gone_leaves_the_queue(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt whose request is cancelled while it waits is not hashed; one that has begun is counted."""
    held, identity = Held(service, monkeypatch), service.parts.identity
    queue = identity._passwords._queue

    async def attempt(name: str) -> None:
        await identity.login(user_id=None, user_name=name, password="no", project=None, address="192.0.2.9")

    begun = [asyncio.create_task(attempt(f"begun-{number}")) for number in range(queue._at_once)]
    await until(lambda: held.begun == queue._at_once)
    waiting = [asyncio.create_task(attempt(f"waiting-{number}")) for number in range(5)]
    await until_waiting(service, 5)
    for each in (*begun, *waiting):
        each.cancel()
    await asyncio.wait(waiting)
    assert len(queue._waiting) == 0
    held.go.set()
    await asyncio.wait(begun)
    assert held.begun == queue._at_once
    async with service.parts.database.read() as tx:
        rows = (await tx.execute(failed_logins.select())).all()
    assert sorted(row[1] for row in rows) == [1] * queue._at_once
    assert (
        await service.call(None, "POST", "/identity/v3/auth/tokens", json=body("alice", PASSWORD))
    ).status_code == 201


async def test_a_turn_that_is_cancelled_as_it_comes_is_passed_on() -> None:
    """It is neither lost nor given twice."""
    queue = Queue(1, Bounds(9, 9))
    served = []

    async def one(name: str) -> None:
        async with queue.turn(name):
            served.append(name)
            await asyncio.sleep(0)

    async with queue.turn("first"):
        tasks = [asyncio.create_task(one(name)) for name in ("second", "third")]
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert served == ["third"]
    assert queue._free == 1


async def test_a_turn_that_ends_as_the_next_one_leaves_is_not_lost() -> None:
    """The first ends after the second was cancelled, and before that has run: the slot is free again."""
    queue = Queue(1, Bounds(9, 9))
    end = asyncio.Event()

    async def one(name: str) -> None:
        async with queue.turn(name):
            await end.wait()

    first, gone, next_one = (asyncio.create_task(one(name)) for name in ("first", "gone", "next"))
    await asyncio.sleep(0)
    end.set()
    gone.cancel()
    await asyncio.gather(first, next_one)
    assert gone.cancelled()
    assert queue._free == 1


async def test_no_more_hashes_at_once_than_slots(tmp_path: Path) -> None:
    """Two processes' hashers on one data folder share the machine's slots."""
    hashers = [Hasher(tmp_path), Hasher(tmp_path)]
    lock, at_once, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.02)
        with lock:
            at_once -= 1

    await asyncio.gather(*(hasher._run(work) for hasher in hashers for _ in range(8 * hasher.at_once)))
    assert most == hashers[0].at_once
    assert sorted(path.name for path in (tmp_path / "slots").iterdir()) == [
        str(number) for number in range(hashers[0].at_once)
    ]
