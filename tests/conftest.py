"""What every test may use, and what is said where a program is missing."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

import ceph as a_ceph
import glance
import horizon
import keystone
import mariadb
import postgres
from ceph import Ceph
from inprocess import Prepared, Service, make_settings, running
from postgres import Cluster
from tintype import server
from tintype.settings import DatabaseSettings


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give a PostgreSQL of our own."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Start one Ceph for all tests that need it; they are one group, in one process."""
    with a_ceph.started(tmp_path_factory.mktemp("ceph")) as running_cluster:
        yield running_cluster


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("initdb"))]
)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare one data folder, to be copied: a first start is not what most tests are about."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    settings, made = make_settings(folder), Prepared(folder, "")
    if request.param == "postgresql":
        made.cluster = request.getfixturevalue("cluster")
        made.database = made.cluster.create()
        settings = make_settings(folder, database=DatabaseSettings(url=made.cluster.url(made.database)))
    with ThreadPoolExecutor(1) as thread:  # `prepare` runs an event loop of its own
        first = thread.submit(server.prepare, settings, "http://testserver").result()
    assert first is not None
    made.password = first.password
    return made


@pytest_asyncio.fixture
async def service(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a fresh service with all callers logged in."""
    async with running(prepared, tmp_path) as started:
        yield started


MISSING = pytest.StashKey[dict[str, str]]()
OPTIONAL = {
    "curl": "curl",
    "qemu-img": "qemu-utils",
    "nginx": "nginx",
    "npm": "npm",
    "chromium": "chromium",
    "openssl": "openssl",
    "initdb": "postgresql",
    "keystone": "",
    "glance": "",
    "horizon": "",
    "mariadb-install-db": "mariadb-server",
    "unshare": "util-linux",
    "radosgw": "ceph-mon ceph-mgr ceph-osd radosgw ceph-common python3-rbd python3-rados",
}
"""Programs that some tests need, and the Debian packages that have them."""


def pytest_configure(config: pytest.Config) -> None:
    """With REQUIRE=all stop where a program is missing."""
    config.stash[MISSING] = {
        name: package for name, package in OPTIONAL.items() if shutil.which(name) is None
    }
    if postgres.available():
        config.stash[MISSING].pop("initdb", None)
    made_here = {"keystone": keystone, "glance": glance, "horizon": horizon}
    for name, there in ((name, each.available()) for name, each in made_here.items()):
        if there:
            config.stash[MISSING].pop(name, None)
    if mariadb.available():
        config.stash[MISSING].pop("mariadb-install-db", None)
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
    packages = " ".join(package for package in missing.values() if package)
    ways = [f"apt-get install {packages}"] if packages else []
    ways += [f"make {name}" for name in ("keystone", "glance", "horizon") if name in missing]
    return f"Not found: {', '.join(missing)}. Tests that need them are left out; {', '.join(ways)}"
