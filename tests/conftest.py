"""What every test may use, and what is said where a program is missing."""

import os
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from inprocess import Service, make_settings, running
from tintype import server


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


MISSING = pytest.StashKey[dict[str, str]]()
OPTIONAL = {
    "curl": "curl",
    "qemu-img": "qemu-utils",
    "nginx": "nginx",
    "npm": "npm",
    "unshare": "util-linux",
    "radosgw": "ceph-mon ceph-mgr ceph-osd radosgw ceph-common python3-rbd python3-rados",
}
"""Programs that some tests need, and the Debian packages that have them."""


def pytest_configure(config: pytest.Config) -> None:
    """With REQUIRE=all stop where a program is missing."""
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
