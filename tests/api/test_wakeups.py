"""Who waits for work is woken by the use cases that make some, once it is stored."""

import asyncio
from pathlib import Path

import pytest

from inprocess import Prepared, Service, running
from tintype.domain.callers import Caller
from tintype.errors import Conflict
from tintype.services.queue import JobQueue
from tintype.services.wakeups import Wakeup
from tintype.settings.stores import FileStore

FORMATS = {"disk_format": "raw", "container_format": "bare"}
BINARY = {"Content-Type": "application/octet-stream"}


async def test_workers_are_woken_after_the_commit(service: Service) -> None:
    """Not before, when they would find nothing, and not where nothing was stored."""
    calls: list[str] = []
    wakeup = Wakeup()
    wakeup.subscribe(lambda: calls.append("woken"))
    queue, caller = JobQueue(service.parts.database, 5, wakeup), Caller("u", "u", "p")
    async with queue.transaction(caller):
        assert calls == []
    assert calls == ["woken"]
    with pytest.raises(Conflict):
        async with queue.transaction(caller):
            raise Conflict("no")
    assert calls == ["woken"]


async def test_the_sweeper_is_woken_by_deletions(prepared: Prepared, tmp_path: Path) -> None:
    """Of images and of copies; not by one that is refused."""
    stores = {"local": FileStore(), "near": FileStore(folder="near")}
    async with running(prepared, tmp_path, stores=stores) as service:
        calls: list[str] = []
        service.parts.blobs_condemned.subscribe(lambda: calls.append("woken"))
        made = await service.call("alice", "POST", "/v2/images", json={**FORMATS, "protected": True})
        image = made.json()["id"]
        path = f"/v2/images/{image}"
        assert (
            await service.call("alice", "PUT", f"{path}/file", content=b"x", headers=BINARY)
        ).status_code == 204
        assert (await service.call("alice", "DELETE", path)).status_code == 403
        assert (await service.call("alice", "DELETE", f"/v2/stores/local/{image}")).status_code == 403
        assert calls == []
        method = {"method": {"name": "copy-image"}, "stores": ["near"]}
        asked = await service.call("admin", "POST", f"{path}/import", json=method)
        assert asked.status_code == 202, asked.text
        working = asyncio.create_task(service.parts.worker.run())
        async with asyncio.timeout(60):
            while "near" not in (await service.call("alice", "GET", path)).json()["stores"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        working.cancel()
        await asyncio.wait([working])
        calls.clear()
        assert (await service.call("admin", "DELETE", f"/v2/stores/near/{image}")).status_code == 204
        assert calls.pop() == "woken"
        change = [{"op": "replace", "path": "/protected", "value": False}]
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        assert (await service.call("alice", "PATCH", path, json=change, headers=kind)).status_code == 200
        assert (await service.call("alice", "DELETE", path)).status_code == 204
        assert calls == ["woken"]


async def test_who_serves_wakes_its_own_worker_and_sweeper(service: Service) -> None:
    """The parts of a process that serves are connected."""
    parts = service.parts
    assert parts.jobs_added._callbacks == [parts.worker.wake]
    assert parts.blobs_condemned._callbacks == [parts.sweeper.wake]
