"""A Glance to compare with, started once."""

import threading
from collections.abc import Iterator

import pytest

import web
from glance import Glance
from twins import DATA, GLANCE


@pytest.fixture(scope="session")
def gate() -> threading.Event:
    """Give what the source of locations waits for before it sends the bytes of `/slow`."""
    return threading.Event()


@pytest.fixture(scope="session")
def source(gate: threading.Event) -> Iterator[web.Server]:
    """Give a web server with a disk, one that is sent when the gate opens, and nothing else."""

    def answer(request: web.Request) -> None:
        if request.path == "/absent":
            request.give(b"", status=404)
        elif request.path == "/slow" and request.command == "GET" and not gate.wait(60):
            request.close_connection = True
        else:
            request.ranged(DATA)

    with web.serving(answer) as server:
        yield server


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory, source: web.Server) -> Iterator[Glance]:
    """Give a Glance that shows locations and believes who callers say they are."""
    folder = tmp_path_factory.mktemp("glance")
    (folder / "policy.yaml").write_text("{}")
    (folder / "cache").mkdir()
    more = GLANCE.format(folder=folder, port=source.server_port)
    glance = Glance(folder, f"sqlite:///{folder}/glance.db", more)
    yield glance
    glance.stop()
