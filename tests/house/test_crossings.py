"""How many of our files a request passes through: the measure of whether it can be followed.

Counted over a real socket, in all threads, with a token that the process has not seen: each file in which a
function runs from the first byte of the request until its work is done. The sweeper and the checks of a
start, which run anyway, are switched off.
"""

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

import web
from inprocess import Service, make_settings
from tintype.api.protocol import BoundedConfig
from tintype.jobs.sweeper import Sweeper
from tintype.services.health import Health
from tintype.settings import DatabaseSettings, ImportSettings, JobSettings
from tintype.wiring import service as wiring

SOURCE = str(Path(__file__).parents[2] / "src" / "tintype")
BUDGETS = {
    "sqlite": {"PATCH": 15, "show": 14, "upload": 21, "tus chunk": 25, "import": 38},
    "postgresql": {"PATCH": 17, "show": 16, "upload": 23, "tus chunk": 27, "import": 40},
}
FORMATS = {"disk_format": "raw", "container_format": "bare"}
BINARY = {"Content-Type": "application/octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}
LOOKING_ON = contextvars.ContextVar("LOOKING_ON", default=False)
"""Whether it is the test itself that asks for something."""


class Crossings:
    """Notes our files in which a function runs, in all threads, while it is switched on."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._on = False

    def __call__(self, frame: Any, _event: str, _argument: Any) -> None:
        name = frame.f_code.co_filename
        if self._on and name.startswith(SOURCE) and not LOOKING_ON.get():
            self.files.add(name.removeprefix(SOURCE + "/"))

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Switch on, and off again."""
        self._on = True
        try:
            yield
        finally:
            self._on = False


@pytest.fixture
def crossings() -> Iterator[Crossings]:
    """Have every thread that is started from here on looked at, and this one."""
    crossings = Crossings()
    threading.setprofile(crossings)
    sys.setprofile(crossings)
    yield crossings
    sys.setprofile(None)
    threading.setprofile(None)


@contextlib.asynccontextmanager
async def served(service: Service, **changes: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the same folder by new parts, which have seen no token, from a socket; the client is alice."""
    database = DatabaseSettings(url=service.database_url)
    settings = make_settings(service.folder, database=database, **changes)
    config = BoundedConfig(
        wiring.Service(settings).app,
        silent_seconds=60,
        unread_seconds=60,
        log_config=None,
        lifespan="on",
        port=0,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    for _ in range(3000):
        if server.started:
            break
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    token = {"X-Auth-Token": service.tokens["alice"]}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=token) as client:
        yield client
    server.should_exit = True
    await serving


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(*_arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Sweeper, "run", rest)
    monkeypatch.setattr(Health, "warn", rest)


async def new_image(service: Service) -> str:
    return f"/v2/images/{(await service.call('alice', 'POST', '/v2/images', json=FORMATS)).json()['id']}"


async def count(client: httpx2.AsyncClient, crossings: Crossings, *request: str, **options: Any) -> None:
    """Send the first request that the service has from this token, and note what it passes through."""
    with crossings.noted():
        response = await client.request(*request, **options)
        await asyncio.sleep(0.1)  # what follows the answer: the line in the log
    assert response.status_code < 300, response.text


async def is_active(service: Service, image: str) -> None:
    """Wait until an image is active; what that takes is not counted."""
    LOOKING_ON.set(True)
    for _ in range(600):
        if (await service.call("alice", "GET", image)).json()["status"] == "active":
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the import has not ended")


def check(what: str, crossings: Crossings, service: Service) -> None:
    """Print the count; fail where it is over the budget."""
    found = sorted(crossings.files)
    budget = BUDGETS["sqlite" if service.database_url is None else "postgresql"][what]
    print(f"{what}: {len(found)} of {budget} files: {', '.join(found)}")
    assert len(found) <= budget


@pytest.mark.usefixtures("_quiet")
class TestCrossings:
    """Each kind of request can be read in one sitting."""

    async def test_a_patch(self, service: Service, crossings: Crossings) -> None:
        """Renaming an image."""
        image = await new_image(service)
        async with served(service, jobs=JobSettings(concurrency=0)) as client:
            kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
            change = b'[{"op": "replace", "path": "/name", "value": "x"}]'
            await count(client, crossings, "PATCH", image, content=change, headers=kind)
        check("PATCH", crossings, service)

    async def test_a_show(self, service: Service, crossings: Crossings) -> None:
        """Showing an image."""
        image = await new_image(service)
        async with served(service, jobs=JobSettings(concurrency=0)) as client:
            await count(client, crossings, "GET", image)
        check("show", crossings, service)

    async def test_an_upload(self, service: Service, crossings: Crossings) -> None:
        """From the socket to the disk."""
        image = await new_image(service)
        async with served(service, jobs=JobSettings(concurrency=0)) as client:
            await count(client, crossings, "PUT", f"{image}/file", content=b"abc" * 100_000, headers=BINARY)
        check("upload", crossings, service)

    async def test_a_chunk_of_a_resumable_upload(self, service: Service, crossings: Crossings) -> None:
        """The last one, which makes the image active."""
        image = await new_image(service)
        length = {"Upload-Length": "300000"}
        begun = await service.call("alice", "POST", f"{image}/uploads", headers=TUS | length)
        assert begun.status_code == 201, begun.text
        path = begun.headers["Location"].removeprefix("http://testserver")
        headers = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        async with served(service, jobs=JobSettings(concurrency=0)) as client:
            await count(client, crossings, "PATCH", path, content=b"abc" * 100_000, headers=headers)
        check("tus chunk", crossings, service)

    async def test_an_import(self, service: Service, crossings: Crossings) -> None:
        """From the web, until the image is active."""
        image = await new_image(service)
        with web.serving(lambda request: request.ranged(b"abc" * 100_000)) as source:
            imports = ImportSettings(allowed_networks=("127.0.0.0/8",), ports=(source.server_port,))
            async with served(service, imports=imports) as client:
                method = {"name": "web-download", "uri": f"http://127.0.0.1:{source.server_port}/image"}
                looking = asyncio.create_task(is_active(service, image))
                with crossings.noted():
                    answer = await client.post(f"{image}/import", json={"method": method})
                    assert answer.status_code == 202, answer.text
                    await looking
        check("import", crossings, service)
