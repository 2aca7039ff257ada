"""Signals: SIGHUP reloads, the first Ctrl-C drains and says so, the second ends requests without a fault."""

import contextlib
import json
import os
import pty
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from processes import TINTYPE, Api, Server, eventually, make_certificate, started

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def log_of(server: Server) -> str:
    return (server.folder.parent / f"{server.folder.name}.log").read_text()


def events(server: Server, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log_of(server).splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].startswith(name)]


def certificate_of(server: Server) -> str:
    host, port = server.url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)))


@WORKERS
@pytest.mark.needs("time")
def test_sighup_reloads_the_log_level(tmp_path: Path, workers: str) -> None:
    """Every worker writes from then on what the settings say; a wrong file changes nothing and is logged."""
    folder = tmp_path / "data"
    folder.mkdir()
    settings = folder / "tintype.toml"
    settings.write_text('[log]\nstyle = "json"\n')
    with started(folder, "--workers", workers) as server:
        settings.write_text('[log]\nstyle = "json"\nlevel = "warning"\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: _quiet(server))
        settings.write_text('[log]\nlevel = "loud"\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(events(server, "settings were not reloaded")) == int(workers))
        settings.write_text('[log]\nlevel = "info"\n')
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(events(server, "log level reloaded")) >= int(workers))
        assert not _quiet(server)
        assert server.stop() == 0


def _quiet(server: Server) -> bool:
    """Say whether no worker logs requests: several are made, so that each worker gets some."""
    before = len(events(server, "request"))
    for _ in range(20):
        assert httpx2.get(f"{server.url}/healthcheck/live").status_code == 200
    return len(events(server, "request")) == before


@pytest.mark.needs("openssl")
@WORKERS
@pytest.mark.needs("time")
def test_sighup_reloads_the_certificate(tmp_path: Path, workers: str) -> None:
    """New connections get the renewed one, running ones go on; files that do not fit leave the old one."""
    make_certificate(tmp_path, "first")
    tls = {
        "TINTYPE_SERVER_TLS_CERTIFICATE": str(tmp_path / "tls.pem"),
        "TINTYPE_SERVER_TLS_KEY": str(tmp_path / "tls.key"),
    }
    with started(tmp_path / "data", "--workers", workers, verify=False, **tls) as server:
        first = certificate_of(server)
        with httpx2.Client(verify=False) as http:
            http.get(f"{server.url}/healthcheck/live")
            server.process.send_signal(signal.SIGHUP)  # heard once every worker is there
            eventually(lambda: len(events(server, "certificate reloaded")) == int(workers), 30)
            (tmp_path / "tls.key").write_text("not a key")
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: len(events(server, "certificate was not reloaded")) == int(workers))
            assert certificate_of(server) == first
            make_certificate(tmp_path, "second")
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: len(events(server, "certificate reloaded")) == 2 * int(workers))
            assert {certificate_of(server) for _ in range(10)} == {(tmp_path / "tls.pem").read_text()}
            assert http.get(f"{server.url}/healthcheck/live").status_code == 200
        assert server.stop() == 0


@WORKERS
@pytest.mark.needs("time")
def test_a_closed_terminal_ends_the_service(tmp_path: Path, workers: str) -> None:
    """Its SIGHUP is no request to reload: nobody is left who could stop the service."""
    leader, follower = pty.openpty()
    command: list[str | Path] = [TINTYPE, "serve", "--data-dir", tmp_path / "data"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--workers", workers],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=_own_terminal,  # noqa: PLW1509 (one thread)
        close_fds=True,
    )
    os.close(follower)
    output = b""
    while b"image list" not in output:
        output += os.read(leader, 4096)
    password = re.search(r'password: "(.+)"', (tmp_path / "data" / "clouds.yaml").read_text())
    assert password is not None
    assert password[1].encode() in output, "a terminal shows it once"
    time.sleep(0.5)
    os.close(leader)
    assert process.wait(20) in {0, -signal.SIGHUP}


def _own_terminal() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def an_upload_and_a_stalled_download(server: Server) -> Iterator[list[object]]:
    """Have one request without an answer and one in the middle of its answer; collect how the first ends."""
    api = Api(server)
    large, small = api.image(), api.image()
    assert api.put(large, b"x" * (64 << 20)).status_code == 204
    outcome: list[object] = []
    begun = threading.Event()

    def trickle() -> Iterator[bytes]:
        while not outcome:
            yield b"x" * 1000
            begun.set()
            time.sleep(0.05)

    def upload() -> None:
        try:
            outcome.append(api.put(small, trickle()).status_code)
        except httpx2.TransportError as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=upload)
    connection = api.connect("GET", f"{large}/file")
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    thread.start()
    begun.wait(10)
    try:
        yield outcome
    finally:
        outcome.append("given up")
        connection.close()
        thread.join()


@pytest.mark.needs("time")
@WORKERS
def test_the_second_ctrl_c_ends_requests_without_a_fault(tmp_path: Path, workers: str) -> None:
    """The first says that it waits, and for how long; the second ends in seconds: no traceback, no 500."""
    with (
        started(tmp_path / "data", "--workers", workers) as server,
        an_upload_and_a_stalled_download(server) as outcome,
    ):
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: len(events(server, "stopping")) == 1)
        (said,) = events(server, "stopping")
        assert said["seconds"] == 30
        assert "second signal" in str(said["event"])
        time.sleep(0.3)
        assert server.process.poll() is None, "it did not wait"
        begun = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        assert time.monotonic() - begun < 8
        eventually(lambda: bool(outcome))
        assert outcome[0] in {503, "WriteError", "ReadError", "RemoteProtocolError"}
    log = log_of(server)
    assert "Traceback" not in log
    assert '"status": 500' not in log
