"""A real server, and people at real browsers: Debian's Chromium, driven by Playwright.

Screenshots are kept in `.browser/` below the working folder.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from people import CHROMIUM, FLAGS, SECONDS, Person, password_of
from processes import PASSWORDS, Server, started

SHOTS = Path(".browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser, and shares one: they are one group."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.needs("chromium"))
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start the browser for a module: its event loop must be over before others' tests have theirs."""
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with two stores that may fetch from loopback, and alice in alpha, bob in beta."""
    folder = tmp_path_factory.mktemp("server") / "data"
    folder.mkdir()
    ports = ",".join(str(port) for port in range(20000, 61000))
    (folder / "tintype.toml").write_text(
        f'[cache]\nfolder = "cache"\n[imports]\nallowed_networks = ["127.0.0.0/8"]\nports = [{ports}]\n'
        '[stores.fast]\ntype = "file"\nfolder = "fast"\n[stores.archive]\ntype = "file"\nfolder = "archive"\n'
    )
    with started(folder) as running:
        for name, project in (("alice", "alpha"), ("bob", "beta")):
            running.run(
                "tintype", "user", "create", name, "--password", PASSWORDS[name], "--project", project
            )
        yield running


@pytest.fixture
def browse(chromium: Browser, server: Server) -> Iterator[Callable[..., Person]]:
    """Give what opens a browser for somebody; what a page complains of in its console fails the test."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def open_for(name: str | None = "alice", url: str = "", **options: Any) -> Person:
        context = chromium.new_context(viewport={"width": 1280, "height": 860}, **options)
        opened.append(context)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())  # of who leaves in the middle of an upload
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if _is_bad(said.text, said.type) else None
        )
        person = Person(page, url or server.url)
        page.goto(f"{person.url}/dashboard/")
        if name is not None:
            password = PASSWORDS.get(name) or password_of(server)
            person.log_in(name, password)
        return person

    yield open_for
    for context in opened:
        context.close()
    assert not complaints, complaints


def _is_bad(text: str, kind: str) -> bool:
    """Leave out what the browser itself notes of answers that are refusals."""
    return kind == "error" and "Failed to load resource" not in text


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install axe-core; gives its source."""
    folder = tmp_path_factory.mktemp("axe")
    shutil.copy(Path(__file__).parent / "package.json", folder)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, timeout=120)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Give what keeps a picture of a page."""
    SHOTS.mkdir(exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=os.fspath(SHOTS / f"{name}.png"))

    return keep
