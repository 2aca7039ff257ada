"""Jobs of one project do not keep those of others waiting."""

import asyncio
import time
from pathlib import Path

from test_imports import BINARY, begin, ended, loopback, new_image, show, working

import web
from inprocess import PASSWORD, Prepared, Service, running
from tintype.settings import JobSettings

PAUSE = 0.05
TRICKLE = 60
"""Bytes that the slow source gives, twenty times a second."""
WAIT = 20.0
"""Seconds after which a test gives up: the figure is printed, and is about two on an idle machine."""


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
    """Return the seconds for which an image's task is pending from now on, `WAIT` where it stays so."""
    begun = time.monotonic()
    for _ in range(int(WAIT / PAUSE)):
        if (await states(service, [image]))[0] != "pending":
            return time.monotonic() - begun
        await asyncio.sleep(PAUSE)
    return WAIT


async def test_slow_sources_hold_no_slots(prepared: Prepared, tmp_path: Path) -> None:
    """Two projects download from a trickling source; two others do not wait for that."""
    with web.serving(source) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service, working(service):
            for name in ("third", "fourth"):
                await log_in(service, name)
            slow = [await download(service, who, f"{server.url}/slow") for who in ("alice", "bob") * 3]
            for _ in range(int(WAIT / PAUSE)):
                if (await states(service, slow)).count("processing") == 4:
                    break
                await asyncio.sleep(PAUSE)
            await asyncio.sleep(4)
            third = await new_image(service, "third")
            await service.call("third", "PUT", f"{third}/stage", content=bytes(1000), headers=BINARY)
            assert (await begin(service, third, "glance-direct", "third")).status_code == 202
            fourth = await download(service, "fourth", f"{server.url}/fast")
            waited = await asyncio.gather(pending_for(service, third), pending_for(service, fourth))
            print(f"pending: staged bytes {waited[0]:.2f} s, another project's download {waited[1]:.2f} s")
            assert max(waited) < WAIT
            for image, who in ((third, "third"), (fourth, "fourth")):
                assert (await ended(service, image))["status"] == "success"
                assert (await show(service, image, who))["status"] == "active"
            assert set(await states(service, slow)) <= {"pending", "processing"}


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
                found = [0, 0]
                for _ in range(int(WAIT / PAUSE)):
                    found = [(await states(service, images)).count("processing") for images in (hers, his)]
                    if sum(found) == 4:
                        break
                    await asyncio.sleep(PAUSE)
                assert found == [2, 2]
