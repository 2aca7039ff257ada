"""Metrics have the exact values after known requests."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

import web
from inprocess import Prepared, Service, running
from tintype.db import blobs as blob_rows
from tintype.db.engine import now
from tintype.db.tables import blobs
from tintype.domain.blobs import READY, WRITING, Blob
from tintype.settings import ImportSettings

BINARY = {"Content-Type": "application/octet-stream"}
JOBS = "tintype_jobs_total"
RAW = {"disk_format": "raw", "container_format": "bare"}


async def numbers(service: Service) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    text = (await service.call("admin", "GET", "/metrics")).text
    return {
        (sample.name, *(str(value) for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def new_image(service: Service) -> str:
    return str((await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"])


async def test_requests_are_counted_once_each_with_their_time(service: Service) -> None:
    """By method, route and status; the request that asks is under way, and not yet counted."""
    for _ in range(3):
        await service.call("alice", "GET", "/v2/images")
    await service.call(None, "GET", "/v2/images")
    found = await numbers(service)
    assert found["tintype_requests_total", "GET", "/v2/images", "200"] == 3
    assert found["tintype_requests_total", "GET", "/v2/images", "401"] == 1
    assert found["tintype_request_seconds_count", "GET", "/v2/images"] == 4
    assert 0 < found["tintype_request_seconds_sum", "GET", "/v2/images"] < 60
    assert found["tintype_requests_running",] == 1
    assert ("tintype_requests_total", "GET", "/metrics", "200") not in found
    again = await numbers(service)
    assert again["tintype_requests_total", "GET", "/metrics", "200"] == 1
    assert again["tintype_requests_running",] == 1


async def test_bytes_are_counted_on_both_ways(service: Service) -> None:
    """Received are those of image data, JSON apart; sent are those of every answer's body."""
    answers: list[httpx2.Response] = []

    async def call(who: str, method: str, path: str, **options: object) -> httpx2.Response:
        answers.append(await service.call(who, method, path, **options))
        return answers[-1]

    image = f"/v2/images/{(await call('alice', 'POST', '/v2/images', json=RAW)).json()['id']}"
    data = b"x" * 123_457
    assert (await call("alice", "PUT", f"{image}/file", content=data, headers=BINARY)).status_code == 204
    assert (await call("alice", "GET", f"{image}/file")).content == data
    assert len((await call("alice", "GET", f"{image}/file", headers={"Range": "bytes=0-99"})).content) == 100
    assert (await call("bob", "GET", image)).status_code == 404
    found = await numbers(service)
    assert found["tintype_received_bytes_total",] == len(data)
    assert found["tintype_sent_bytes_total",] == sum(len(answer.content) for answer in answers)
    part = await call("alice", "PUT", f"{image}/file", content=data, headers=BINARY)
    assert part.status_code == 409
    stage = f"/v2/images/{await new_image(service)}/stage"
    assert (await call("alice", "PUT", stage, content=b"abc", headers=BINARY)).status_code == 204
    assert (await numbers(service))["tintype_received_bytes_total",] == len(data) + 3


@pytest.mark.parametrize("state", [WRITING, READY])
async def test_uploads_of_the_dead_are_counted(service: Service, state: str) -> None:
    """Each once, by the sweeper that undoes it; an upload that ended is none of them."""
    image = await new_image(service)
    if state == READY:
        await service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"abc", headers=BINARY)
    else:
        async with service.parts.database.write() as tx:
            await blob_rows.begin(tx, Blob("dead", "local", image), now=now(), lease=60_000_000)
    async with service.parts.database.write() as tx:
        await tx.execute(update(blobs).values(lease_expires_at=0))
    for _ in range(2):
        await service.parts.sweeper.sweep()
    found = await numbers(service)
    assert found["tintype_abandoned_uploads_total",] == (1 if state == WRITING else 0)
    assert found["tintype_sweep_failures_total",] == 0


async def test_jobs_are_counted_by_how_they_end(prepared: Prepared, tmp_path: Path) -> None:
    """By type and outcome, when they have ended; one whose source has not what was asked for has failed."""
    with web.serving(lambda request: request.send_error(404)) as server:
        allowed = ImportSettings(allowed_networks=("127.0.0.0/8",), ports=(server.server_port,))
        async with running(prepared, tmp_path, imports=allowed) as service:
            worker = asyncio.create_task(service.parts.worker.run())
            for outcome in ("success", "success", "failure"):
                image = f"/v2/images/{await new_image(service)}"
                method = {"name": "web-download", "uri": f"{server.url}/disk"}
                if outcome == "success":
                    method = {"name": "glance-direct"}
                    await service.call("alice", "PUT", f"{image}/stage", content=b"abc", headers=BINARY)
                begun = await service.call("alice", "POST", f"{image}/import", json={"method": method})
                assert begun.status_code == 202
                await has_ended(service, image, outcome)
            worker.cancel()
            await asyncio.wait([worker])
            counted = {name: value for name, value in (await numbers(service)).items() if name[0] == JOBS}
    assert counted == {(JOBS, "success", "api_image_import"): 2, (JOBS, "failure", "api_image_import"): 1}


async def has_ended(service: Service, image: str, outcome: str) -> None:
    """Wait for the end of an image's only task."""
    async with asyncio.timeout(60):
        while True:
            (task,) = (await service.call("alice", "GET", f"{image}/tasks")).json()["tasks"]
            if task["status"] not in {"pending", "processing"}:
                break
            await asyncio.sleep(0.02)
    assert task["status"] == outcome


async def test_failed_sweeps_are_counted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each store whose deletions ended with a mistake."""

    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tintype.jobs.sweeper.deletion_rows.condemned", broken)
    await service.parts.sweeper.sweep()
    await service.parts.sweeper.sweep()
    assert (await numbers(service))["tintype_sweep_failures_total",] == 2
