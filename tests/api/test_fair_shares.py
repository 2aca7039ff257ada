"""Jobs of one project do not keep those of others waiting."""

import asyncio
import time
from pathlib import Path

from test_imports import BINARY, begin, ended, loopback, new_image, show, working

import web
from inprocess import PASSWORD, Prepared, Service, running

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
