"""Jobs of one project do not keep those of others waiting."""

import asyncio
import time
from pathlib import Path

import pytest
from test_imports import BINARY, STORES, begin, ended, loopback, new_image, show, working

import web
from inprocess import PASSWORD, Prepared, Service, running
from tintype.jobs.attempts import Attempt
from tintype.jobs.imports import ImportWork
from tintype.settings import JobSettings

PAUSE = 0.05
TRICKLE = 60
"""Bytes that the slow source gives, twenty times a second."""
DEMANDED = 5.0
"""Seconds for which a task may be pending on a machine on which `IDLE` seconds are enough for an import."""
IDLE = 0.5
WAIT = 60.0
"""Seconds after which a test gives up."""


def source(request: web.Request) -> None:
    """Give a file at once, or so slowly that it takes hours."""
    if request.path.startswith("/fast"):
        request.give(bytes(1000))
        return
    request.send_response(200)
    request.send_header("Content-Length", str(64 << 20))
    request.end_headers()
    while True:
        request.wfile.write(bytes(TRICKLE))
        time.sleep(PAUSE)


async def log_in(service: Service, name: str) -> None:
    """Make a project with one member, both of that name, and log the member in."""
    identity = service.parts.identity
    await identity.projects.create(name)
    await identity.users.create(name, PASSWORD)
    await identity.roles.grant(name, name, "member")
    token = await identity.login(
        user_id=None, user_name=name, password=PASSWORD, project={"name": name}, address="test"
    )
    service.tokens[name] = token.value


async def download(service: Service, who: str, url: str) -> str:
    """Have somebody import an image from the web."""
    image = await new_image(service, who)
    answer = await begin(service, image, {"name": "web-download", "uri": url}, who)
    assert answer.status_code == 202, answer.text
    return image


async def states(service: Service, images: list[str]) -> list[str]:
    """Return the states of the images' newest tasks."""
    found = []
    for image in images:
        tasks = (await service.call("admin", "GET", f"{image}/tasks")).json()["tasks"]
        found.append(tasks[-1]["status"])
    return found


async def pending_for(service: Service, image: str) -> float:
    """Return the seconds from now until an image's task is no longer pending."""
    started_at = time.monotonic()
    for _ in range(int(WAIT / PAUSE)):
        if (await states(service, [image]))[0] != "pending":
            break
        await asyncio.sleep(PAUSE)
    return time.monotonic() - started_at


async def settle(service: Service, images: list[str], **counts: int) -> None:
    """Wait until so many of the images' tasks are in each state."""
    found: list[str] = []
    for _ in range(int(WAIT / PAUSE)):
        found = await states(service, images)
        if all(found.count(state) == count for state, count in counts.items()):
            return
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"{found}, not {counts}")


async def staged_by(service: Service, who: str) -> str:
    """Stage an image's bytes, which have to be copied to another store, and have somebody import them."""
    image = await new_image(service, who)
    await service.call(who, "PUT", f"{image}/stage", content=bytes(1000), headers=BINARY)
    assert (await begin(service, image, "glance-direct", who, stores=["near"])).status_code == 202
    return image


async def test_slow_sources_hold_no_slots(prepared: Prepared, tmp_path: Path) -> None:
    """Two projects download from a trickling source, in all slots; two others do not wait for that."""
    with web.serving(source) as server:
        async with running(prepared, tmp_path, imports=loopback(server), stores=STORES) as service:
            for name in ("third", "fourth"):
                await log_in(service, name)
            async with working(service):
                started_at = time.monotonic()
                assert (await ended(service, await staged_by(service, "third"), WAIT))["status"] == "success"
                reference = time.monotonic() - started_at
                slow = [await download(service, who, f"{server.url}/slow") for who in ("alice", "bob") * 3]
                await settle(service, slow, processing=4, pending=2)
                before = await states(service, slow)
                third = await staged_by(service, "third")
                fourth = await download(service, "fourth", f"{server.url}/fast")
                waited = max(await asyncio.gather(pending_for(service, third), pending_for(service, fourth)))
                print(f"pending: {waited:.2f} s; the whole import on an idle service {reference:.2f} s")
                assert waited < DEMANDED * max(1.0, reference / IDLE)
                for image, who in ((third, "third"), (fourth, "fourth")):
                    assert (await ended(service, image, WAIT))["status"] == "success"
                    assert (await show(service, image, who))["status"] == "active"
                assert await states(service, slow) == before


@pytest.mark.parametrize("lane", ["web", "local"])
async def test_a_project_without_a_running_job_starts_one_beyond_the_slots(
    lane: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so at once, up to four jobs for each slot; nobody's running job is stopped for it."""
    go_on = {name: asyncio.Event() for name in ("alice", "bob", "third", "fourth")}
    run, started = ImportWork.run, list[str]()

    async def held_up(work: ImportWork, attempt: Attempt) -> None:
        name = next(who for who, image in image_of.items() if image.endswith(attempt.task.image_id or "-"))
        started.append(name)
        if name in go_on:
            await go_on[name].wait()
        await run(work, attempt)

    monkeypatch.setattr(ImportWork, "run", held_up)
    one = JobSettings(concurrency=1)
    with web.serving(source) as server:
        async with running(prepared, tmp_path, imports=loopback(server), stores=STORES, jobs=one) as service:
            image_of: dict[str, str] = {}
            for name in ("third", "fourth", "fifth"):
                await log_in(service, name)

            async def add(who: str, key: str) -> None:
                if lane == "web":
                    image_of[key] = await download(service, who, f"{server.url}/fast")
                else:
                    image_of[key] = await staged_by(service, who)

            await add("alice", "alice")
            async with working(service):
                await settle(service, [image_of["alice"]], processing=1)
                await add("alice", "second of alice")
                for who in ("bob", "third", "fourth"):
                    await add(who, who)
                    await settle(service, [image_of[who]], processing=1)
                await add("fifth", "fifth")
                await asyncio.sleep(0.5)
                assert started == ["alice", "bob", "third", "fourth"]
                go_on["bob"].set()
                assert (await ended(service, image_of["fifth"], WAIT))["status"] == "success"
                assert started == ["alice", "bob", "third", "fourth", "fifth"]
                for event in go_on.values():
                    event.set()
                for image in image_of.values():
                    assert (await ended(service, image, WAIT))["status"] == "success"
                assert sorted(started) == sorted(image_of)


async def test_a_project_may_have_so_many_unfinished_tasks(prepared: Prepared, tmp_path: Path) -> None:
    """One more is 413 and leaves its image as it was; others, and who cancels one, go on."""
    most = JobSettings(waiting_per_project=2)
    with web.serving(source) as server:
        async with running(prepared, tmp_path, imports=loopback(server), jobs=most) as service:
            method = {"name": "web-download", "uri": f"{server.url}/fast"}
            images = [await new_image(service) for _ in range(3)]
            answers = [await begin(service, image, method) for image in images]
            assert [answer.status_code for answer in answers] == [202, 202, 413]
            assert "jobs.waiting_per_project" in answers[2].json()["error"]["message"]
            assert (await show(service, images[2]))["status"] == "queued"
            others = await new_image(service, "bob")
            assert (await begin(service, others, method, "bob")).status_code == 202
            (task,) = (await service.call("alice", "GET", f"{images[0]}/tasks")).json()["tasks"]
            ending = await service.call("alice", "POST", f"/v2/tasks/{task['id']}/actions/cancel")
            assert ending.status_code < 300, ending.text
            assert (await begin(service, images[2], method)).status_code == 202


async def test_who_has_fewest_at_work_is_next(prepared: Prepared, tmp_path: Path) -> None:
    """Of six older jobs of one project and two of another, two of each are at work in four slots."""
    with web.serving(source) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service:
            hers = [await download(service, "alice", f"{server.url}/slow") for _ in range(6)]
            his = [await download(service, "bob", f"{server.url}/slow") for _ in range(2)]
            async with working(service):
                await settle(service, hers, processing=2)
                await settle(service, his, processing=2)
