"""What every test may use: a service in this process, and its four callers.

alice and carol work in project alpha (carol reads only), bob in beta, admin in admin.
"""

import dataclasses
import os
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tintype import server
from tintype.settings import LogSettings, Settings

PEOPLE = {"alice": ("alpha", "member"), "bob": ("beta", "member"), "carol": ("alpha", "reader")}
PASSWORD = "secret"


@dataclasses.dataclass
class Service:
    """A Tintype in this process, an HTTP client for it, and a token for each caller."""

    parts: server.Parts
    client: httpx2.AsyncClient
    tokens: dict[str, str]
    projects: dict[str, str]
    folder: Path

    async def call(self, who: str | None, method: str, path: str, **options: object) -> httpx2.Response:
        """Send a request as somebody."""
        headers = dict(options.pop("headers", None) or {})
        if who is not None:
            headers["X-Auth-Token"] = self.tokens[who]
        return await self.client.request(method, path, headers=headers, **options)


def make_settings(folder: Path, **changes: object) -> Settings:
    """Give settings for a test: quiet."""
    return Settings(data_dir=folder, log=LogSettings(level="info", style="json"), **changes)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Prepare one data folder, to be copied: a first start is not what most tests are about."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    with ThreadPoolExecutor(1) as thread:  # `prepare` runs an event loop of its own
        first = thread.submit(server.prepare, make_settings(folder), "http://testserver").result()
    assert first is not None
    return folder, first.password


@pytest_asyncio.fixture
async def service(prepared: tuple[Path, str], tmp_path: Path) -> AsyncIterator[Service]:
    """Give a fresh service with all callers logged in."""
    async with running(prepared, tmp_path) as started:
        yield started


def running(prepared: tuple[Path, str], folder: Path, **changes: object) -> "_Running":
    """Start a service in this process on a copy of the prepared folder."""
    return _Running(prepared, folder / "data", changes)


class _Running:
    def __init__(self, prepared: tuple[Path, str], folder: Path, changes: dict[str, object]) -> None:
        self._source, self._password = prepared
        self._folder, self._changes = folder, changes

    async def __aenter__(self) -> Service:
        shutil.copytree(self._source, self._folder)
        self._parts = parts = server.build(make_settings(self._folder, **self._changes))
        identity = parts.identity
        projects, tokens = {}, {}
        for name, (project, role) in PEOPLE.items():
            await identity.create_user(name, PASSWORD)
            if project not in projects:
                projects[project] = (await identity.create_project(project)).id
            await identity.grant(name, project, role)
        everybody = {name: (project, PASSWORD) for name, (project, _) in PEOPLE.items()}
        everybody["admin"] = ("admin", self._password)
        for name, (project, password) in everybody.items():
            token = await identity.login(
                user_id=None, user_name=name, password=password, project={"name": project}, address="test"
            )
            tokens[name] = token.value
            projects[name] = token.caller.project_id or ""
        transport = httpx2.ASGITransport(app=parts.app, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://testserver")
        return Service(parts, self._client, tokens, projects, self._folder)

    async def __aexit__(self, *_failure: object) -> None:
        await self._client.aclose()
        self._parts.database.close()


OPTIONAL = {"curl": "curl", "qemu-img": "qemu-utils"}
"""Programs that some tests need, and the Debian packages that have them."""


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and with REQUIRE=all stop where a program is missing."""
    config.addinivalue_line(
        "markers", "needs(program): leaves the test out where the program is not installed"
    )
    config.stash[MISSING] = {
        name: package for name, package in OPTIONAL.items() if shutil.which(name) is None
    }
    if os.environ.get("REQUIRE") == "all" and config.stash[MISSING]:
        pytest.exit(_advice(config.stash[MISSING]), returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here."""
    left_out = [
        item
        for item in items
        if any(mark.args[0] in config.stash[MISSING] for mark in item.iter_markers("needs"))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not found, and what to install."""
    if config.stash[MISSING]:
        terminalreporter.write_line(_advice(config.stash[MISSING]), yellow=True)


def _advice(missing: dict[str, str]) -> str:
    install = f"apt-get install {' '.join(missing.values())}"
    return f"Not found: {', '.join(missing)}. Tests that need them are left out; {install}"


MISSING = pytest.StashKey[dict[str, str]]()
