"""Fixtures for all tests, and the selection of tests by their needs and by REQUIRE."""

import asyncio
import dataclasses
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import azurite
import ceph as a_ceph
import glance
import horizon
import keystone
import mariadb
import postgres
from ceph import Ceph
from inprocess import Prepared, Service, make_settings, running
from postgres import Cluster
from processes import OLD_GLANCECLIENT
from tintype import data_folder
from tintype.settings import DatabaseSettings
from tintype.wiring import service as wiring


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start a PostgreSQL."""
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
    """Prepare one data folder, which tests copy, so that they need no first start."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    settings, made = make_settings(folder), Prepared(folder, "")
    if request.param == "postgresql":
        made.cluster = request.getfixturevalue("cluster")
        made.database = made.cluster.create()
        settings = make_settings(folder, database=DatabaseSettings(url=made.cluster.url(made.database)))
    with ThreadPoolExecutor(1) as thread:  # `prepare` runs an event loop of its own
        first = thread.submit(data_folder.prepare, wiring.Service(settings), "http://testserver").result()
        assert first is not None
        made.password = first.password
        thread.submit(asyncio.run, made.log_everybody_in(settings)).result()
    return made


@pytest.fixture(autouse=True)
def _copies(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete the databases that a test created."""
    yield
    if "prepared" in request.fixturenames:
        request.getfixturevalue("prepared").drop_copies()


@pytest_asyncio.fixture
async def service(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Start a new service with all callers logged in."""
    async with running(prepared, tmp_path) as started:
        yield started


@dataclasses.dataclass(frozen=True)
class Need:
    """A requirement of tests: how to detect it, and how to install it."""

    is_here: Callable[[], object]
    way: str
    on_request: bool = True
    """Whether its tests run only when REQUIRE asks, because they take long; others run where it is found."""


def _program(name: str, package: str) -> Need:
    return Need(lambda: shutil.which(name), f"apt-get install {package}", on_request=False)


NEEDS = {
    "postgresql": Need(postgres.available, "apt-get install postgresql"),
    "mariadb": Need(mariadb.available, "apt-get install mariadb-server"),
    "ceph": Need(
        lambda: shutil.which("radosgw"),
        "apt-get install ceph-mon ceph-mgr ceph-osd radosgw ceph-common python3-rbd python3-rados",
    ),
    "azurite": Need(azurite.available, "make azurite"),
    "chromium": Need(lambda: shutil.which("chromium"), "apt-get install chromium"),
    "keystone": Need(keystone.available, "make keystone"),
    "glance": Need(glance.available, "make glance"),
    "glanceclient": Need(OLD_GLANCECLIENT.exists, "make glanceclient", on_request=False),
    "horizon": Need(horizon.available, "make horizon"),
    "curl": _program("curl", "curl"),
    "qemu-img": _program("qemu-img", "qemu-utils"),
    "faketime": _program("faketime", "faketime"),
    "nginx": _program("nginx", "nginx"),
    "npm": _program("npm", "npm"),
    "promtool": _program("promtool", "prometheus"),
    "openssl": _program("openssl", "openssl"),
    "sqlite3": _program("sqlite3", "sqlite3"),
    "unshare": _program("unshare", "util-linux"),
    "time": Need(lambda: True, ""),
}
"""`time` is what kills, floods, silences and clocks take: minutes, most of them spent waiting."""
LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are cores: tests that start processes wait as long as they compute."""
    return (psutil.cpu_count(logical=False) or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Read REQUIRE, `all` or names; stop if something in it is not installed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    asked = {name.strip() for name in os.environ.get("REQUIRE", "").split(",")} - {""}
    if unknown := asked - {"all", *NEEDS}:
        pytest.exit(f"REQUIRE knows all, {', '.join(NEEDS)}; not {', '.join(sorted(unknown))}", returncode=1)
    if "all" in asked:
        asked = set(NEEDS)
    missing = {name for name, need in NEEDS.items() if not need.is_here()}
    if asked & missing:
        pytest.exit(_not_found(asked & missing), returncode=1)
    requested = {name for name, need in NEEDS.items() if need.on_request}
    config.stash[LEFT_OUT] = (requested | missing) - asked


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose requirements are missing or were not requested."""
    unavailable: set[str] = config.stash[LEFT_OUT]
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needs: set[str] = {mark.args[0] for mark in item.iter_markers("needs")}
        assert needs <= NEEDS.keys(), f"{item.nodeid} needs what nobody knows of: {needs}"
        (left_out if needs & unavailable else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which tests were not run, and how to run them."""
    left_out = config.stash[LEFT_OUT]
    if unasked := [name for name in NEEDS if name in left_out and NEEDS[name].on_request]:
        line = f"Not asked for: {', '.join(unasked)}. Tests that need one run with REQUIRE=all or its name."
        terminalreporter.write_line(line, yellow=True)
    if programs := left_out - set(unasked):
        terminalreporter.write_line(f"{_not_found(programs)}; tests that need one are left out.", yellow=True)


def _not_found(names: set[str]) -> str:
    return f"Not found: {', '.join(f'{name} ({NEEDS[name].way})' for name in NEEDS if name in names)}"
