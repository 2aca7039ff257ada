"""Leases: by which clock they live, who leaves whose alone, and when all of them end."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from test_resumable import MIB, offset_of, send, silent, started, stored
from test_uploads import chunks, make, put, show

from inprocess import Service
from tintype import data_folder
from tintype.db import blobs as blob_rows
from tintype.db import identity as identity_rows
from tintype.db.engine import CLOCK, LEASE_CLOCK, Database, SQLite, now
from tintype.db.tables import blobs
from tintype.domain.blobs import Blob
from tintype.services.leases import wait_detecting_stall

SQLITE = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
MINUTE, DAY = 60_000_000, 24 * 3600 * 1_000_000


async def change(service: Service, statement: Any) -> None:
    async with service.parts.database.write() as tx:
        await tx.execute(statement)


async def reading(database: Database) -> int:
    async with database.read() as tx:
        return int((await tx.execute(select(LEASE_CLOCK))).scalar_one())


async def test_the_clock_shows_about_the_time_of_day(service: Service) -> None:
    """So leases that older versions have set mean the same; and it goes on."""
    first = await reading(service.parts.database)
    assert abs(first - now()) < MINUTE
    await asyncio.sleep(0.01)
    assert await reading(service.parts.database) > first


@SQLITE
async def test_the_clock_of_sqlite_is_not_set(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set moves neither connections that are open nor those of processes that start later."""
    before = await reading(service.parts.database)
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + DAY * 1000)
    assert 0 < await reading(service.parts.database) - before < MINUTE
    async with service.parts.database.write() as tx:  # as the start of the service does
        await identity_rows.set_secret(
            tx, CLOCK, f"{data_folder._boot_id()} {before - time.monotonic_ns() // 1000}"
        )
    later = SQLite(service.folder / "tintype.db")
    assert 0 < await reading(later) - before < MINUTE
    await later.close()


async def test_what_this_process_writes_is_not_swept(service: Service) -> None:
    """Whatever the lease says: its own heart beats, or ends it."""
    image_id = await make(service)
    begun, go = asyncio.Event(), asyncio.Event()
    upload = asyncio.create_task(put(service, image_id, chunks(1, begun, go)))
    await begun.wait()
    await change(service, update(blobs).values(lease_expires_at=0))
    await service.parts.sweeper.sweep()
    go.set()
    assert await upload == 204
    assert (await show(service, image_id))["status"] == "active"


@pytest.mark.needs("time")
@pytest.mark.parametrize(("stood_still", "status"), [(True, 204), (False, 410)])
async def test_who_stood_still_lets_others_beat_first(
    service: Service, monkeypatch: pytest.MonkeyPatch, stood_still: bool, status: int
) -> None:
    """Those who stood still with it lost their leases by that alone; who did not sweeps at once."""
    image_id = await make(service)
    begun, go, swept = asyncio.Event(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr("tintype.services.leases.HEARTBEAT_SECONDS", 0.2 if stood_still else 60)
    upload = asyncio.create_task(put(service, image_id, chunks(1, begun, go)))
    await begun.wait()
    service.parts.ingest.leases._held.clear()  # as if it were another process's
    looks = 0

    async def looked(_event: asyncio.Event, _seconds: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            await change(service, update(blobs).values(lease_expires_at=0))
            return stood_still
        swept.set()
        return await wait_detecting_stall(asyncio.Event(), 60)

    monkeypatch.setattr("tintype.jobs.sweeper.wait_detecting_stall", looked)
    monkeypatch.setattr("tintype.jobs.sweeper.HEARTBEAT_SECONDS", 2)
    sweeping = asyncio.create_task(service.parts.sweeper.run())
    await swept.wait()
    sweeping.cancel()
    go.set()
    assert await upload == status


async def test_standing_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on while the process is stopped, or its machine sleeps."""
    assert not await wait_detecting_stall(asyncio.Event(), 0.01)
    moments = iter([0.0, 30.0])
    monkeypatch.setattr("tintype.services.leases.time.clock_gettime", lambda _clock: next(moments))
    assert await wait_detecting_stall(asyncio.Event(), 5)


async def test_a_resumable_upload_under_way_outlives_a_clock_that_is_set(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept by the time of day, but never taken from a request that is working on it."""
    image, upload = await started(service, 2 * MIB)
    piece = await silent(service, upload, MIB)
    later = now() + 2 * DAY
    with monkeypatch.context() as patched:
        patched.setattr("tintype.jobs.sweeper.now", lambda: later)
        await service.parts.sweeper.sweep()
    reached = await offset_of(service, upload)  # the client comes back, and is let in
    assert reached == MIB
    await piece
    assert (await send(service, upload, reached, b"a" * MIB)).status_code == 204
    assert await stored(service, image) == b"a" * 2 * MIB


@SQLITE
@pytest.mark.parametrize(
    ("known", "alone", "ended"),
    [
        ("another run", False, True),
        ("another run", True, True),
        ("this run", False, False),
        ("this run", True, True),
        (None, False, False),
        (None, True, True),
    ],
)
async def test_when_all_leases_end(service: Service, known: str | None, alone: bool, ended: bool) -> None:
    """Where nobody else works, and where the machine was started since: its clock begins anew with it.

    A `tintype worker` is such a start as the service is, and one that finds others at work changes nothing.
    """
    database, image_id = service.parts.database, await make(service)
    blob = Blob(str(uuid.uuid4()), "local", image_id)
    async with database.write() as tx:
        await blob_rows.begin(tx, blob, now=now(), lease=DAY)
        await identity_rows.remove_secret(tx, CLOCK)
        if known is not None:
            boot = data_folder._boot_id() if known == "this run" else known
            await identity_rows.set_secret(tx, CLOCK, f"{boot} 0")
    await data_folder._settle_leases(database, alone=alone)
    async with database.read() as tx:
        until = (await tx.execute(select(blobs.c.lease_expires_at))).scalar_one()
        boot, _, offset = (await identity_rows.secret(tx, CLOCK) or "").rpartition(" ")
    assert (until == 0) == ended
    assert boot == data_folder._boot_id()
    assert (offset == "0") == (known == "this run" and not alone)


@SQLITE
@pytest.mark.parametrize(("lease", "ended"), [(20_000_000, False), (DAY, True)])
async def test_a_machine_that_does_not_name_its_runs(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lease: int, ended: bool
) -> None:
    """A lease that ends later than any could shows that the clock has begun anew: all of them end then."""
    monkeypatch.setattr(data_folder, "_BOOT_ID", tmp_path / "none")
    database, image_id = service.parts.database, await make(service)
    blob = Blob(str(uuid.uuid4()), "local", image_id)
    async with database.write() as tx:
        await blob_rows.begin(tx, blob, now=now(), lease=lease)
        await identity_rows.remove_secret(tx, CLOCK)
        await identity_rows.set_secret(tx, CLOCK, "unknown 0")
    await data_folder._settle_leases(database, alone=False)
    async with database.read() as tx:
        until = (await tx.execute(select(blobs.c.lease_expires_at))).scalar_one()
        offset = (await identity_rows.secret(tx, CLOCK) or "").rpartition(" ")[2]
    assert (until == 0) == ended
    assert (offset == "0") != ended
