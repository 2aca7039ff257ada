"""What every test may use, and what is said where a program is missing."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
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
    scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
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
        thread.submit(asyncio.run, made.log_everybody_in(settings)).result()
    return made


@pytest_asyncio.fixture
async def service(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a fresh service with all callers logged in."""
    async with running(prepared, tmp_path) as started:
        yield started


SERVERS = {
    "postgresql": "postgresql",
    "mariadb": "mariadb-server",
    "ceph": "ceph-mon ceph-mgr ceph-osd radosgw ceph-common python3-rbd python3-rados",
    "chromium": "chromium",
    "keystone": "",
    "glance": "",
    "horizon": "",
}
"""What some tests run beside us when REQUIRE asks for it, and the Debian packages that have it, if any."""
PROGRAMS = {
    "curl": "curl",
    "qemu-img": "qemu-utils",
    "nginx": "nginx",
    "npm": "npm",
    "openssl": "openssl",
    "unshare": "util-linux",
}
"""Programs that some tests use where they are found, and their packages."""
LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Take what REQUIRE asks for, `all` or names; stop where that is not here."""
    asked = set(filter(None, map(str.strip, os.environ.get("REQUIRE", "").split(","))))
    if unknown := asked - {"all", *SERVERS, *PROGRAMS}:
        pytest.exit(
            f"REQUIRE: there is no {', '.join(unknown)}, only all, {', '.join(SERVERS)}", returncode=1
        )
    if "all" in asked:
        asked = {*SERVERS, *PROGRAMS}
    there = {name for name in {*SERVERS, *PROGRAMS} if _is_here(name)}
    if missing := asked - there:
        packages = " ".join(sorted(filter(None, ((SERVERS | PROGRAMS)[name] for name in missing))))
        ways = [f"apt-get install {packages}"] if packages else []
        ways += [f"make {name}" for name in sorted(missing) if not (SERVERS | PROGRAMS)[name]]
        pytest.exit(f"Not found: {', '.join(sorted(missing))}. Try: {'; '.join(ways)}", returncode=1)
    config.stash[LEFT_OUT] = {*SERVERS, *PROGRAMS} - asked - (there & PROGRAMS.keys())


def _is_here(name: str) -> bool:
    made: dict[str, Callable[[], bool]] = {
        "postgresql": postgres.available,
        "mariadb": mariadb.available,
        "keystone": keystone.available,
        "glance": glance.available,
        "horizon": horizon.available,
    }
    return made[name]() if name in made else shutil.which({"ceph": "radosgw"}.get(name, name)) is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs more than is here or was asked for."""
    left_out = [
        item
        for item in items
        if any(mark.args[0] in config.stash[LEFT_OUT] for mark in item.iter_markers("needs"))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not run, and how to have it run."""
    if config.stash[LEFT_OUT]:
        names = ", ".join(name for name in SERVERS | PROGRAMS if name in config.stash[LEFT_OUT])
        terminalreporter.write_line(
            f"Left out: tests that need {names}. REQUIRE=all, or some of these names, runs them.", yellow=True
        )
