"""A real server process, with the official clients."""

import contextlib
import dataclasses
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
import yaml

import officials

BIN = Path(sys.executable).parent
TINTYPE = BIN / "tintype"
START_SECONDS = 60
BINARY = {"Content-Type": "application/octet-stream"}
OLD_GLANCECLIENT = Path(__file__).parents[1] / ".venv-glanceclient"
"""python-glanceclient 3.2, to stand before the newest one in PYTHONPATH."""
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
"""What `make coverage` sets, so that processes with an environment of their own are measured, too."""
PASSWORDS = {"alice": "alice-secret", "bob": "bob-secret"}


@dataclasses.dataclass
class Server:
    """A running `tintype serve`, and commands that use it."""

    process: subprocess.Popen[str]
    folder: Path
    url: str
    output: str
    """Output before the first response."""

    @property
    def clouds(self) -> Path:
        return self.folder / "clouds.yaml"

    def run(
        self,
        *command: str,
        cloud: str = "tintype",
        check: bool = True,
        stdin: int | None = None,
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run an official client, or `tintype` itself, as a user of this server would."""
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "OS_CLIENT_CONFIG_FILE": str(self.clouds),
            "OS_CLOUD": cloud,
            "TINTYPE_DATA_DIR": str(self.folder),
            "LANG": "C.UTF-8",
            **MEASURED,
            **more,
        }
        if command[0] in officials.MAINS and stdin is None:
            done = officials.run(command, environment)
        else:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=environment,
                timeout=120,
                check=False,
                stdin=stdin,
            )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def log_in(self, verify: ssl.SSLContext | bool = True) -> str:
        """Return a token of the first admin."""
        auth = yaml.safe_load(self.clouds.read_text())["clouds"]["tintype"]["auth"]
        domain = {"id": "default"}
        user = {"name": auth["username"], "domain": domain, "password": auth["password"]}
        body = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": auth["project_name"], "domain": domain}},
        }
        answer = httpx2.post(
            f"{self.url}/identity/v3/auth/tokens", json={"auth": body}, timeout=20, verify=verify
        )
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Stop the process; return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(30)


@contextlib.contextmanager
def started(
    folder: Path,
    *options: str,
    within: Sequence[str] = (),
    verify: ssl.SSLContext | bool = True,
    **environment: str,
) -> Iterator[Server]:
    """Start a server on a free port, optionally with a wrapper command; stop it afterwards."""
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        process = subprocess.Popen(
            [*within, TINTYPE, "serve", "--data-dir", folder, "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        )
    assert process.stdout is not None
    printed = ""
    try:
        while "image list" not in printed and "Identity:" not in printed:
            line = process.stdout.readline()
            assert line, f"no start: {printed} {(folder.parent / f'{folder.name}.log').read_text()}"
            printed += line
        url = re.search(r"at (https?://\S+)", printed)
        assert url is not None
        _wait_for(url[1], verify)
        yield Server(process, folder, url[1], printed)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(40)
        process.stdout.close()


def _wait_for(url: str, verify: ssl.SSLContext | bool) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/healthcheck", verify=verify).status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail(f"{url} does not answer")


class Api:
    """An HTTP client that is logged in as an admin."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.headers = {"X-Auth-Token": server.log_in()}
        self.http = httpx2.Client(base_url=server.url, headers=self.headers, timeout=30, trust_env=False)

    def image(self) -> str:
        body = {"disk_format": "raw", "container_format": "bare"}
        return f"/v2/images/{self.http.post('/v2/images', json=body).json()['id']}"

    def show(self, image: str) -> dict[str, object]:
        return dict(self.http.get(image).json())

    def put(self, image: str, data: bytes | Iterable[bytes], **headers: str) -> httpx2.Response:
        return self.http.put(f"{image}/file", content=data, headers={**BINARY, **headers})

    def dial(self) -> socket.socket:
        """Open a connection."""
        host, port = self.server.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), 30)

    def connect(self, method: str, path: str, *headers: str) -> socket.socket:
        """Open a connection and send the head of a request."""
        connection = self.dial()
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: x",
            f"X-Auth-Token: {self.headers['X-Auth-Token']}",
        )
        connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
        return connection

    def files(self) -> list[str]:
        return [path.name for path in (self.server.folder / "images").glob("*/*") if path.is_file()]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.server.process.pid}/fd").iterdir()))


def free_ports(count: int) -> list[int]:
    """Return free loopback ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.05)


def make_certificate(folder: Path, name: str = "tintype", *, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """Create a self-signed certificate and its key for an address, replacing existing files."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files: list[str | Path] = ["-keyout", folder / "new.key", "-out", folder / "new.pem"]
    names = ["-subj", f"/CN={name}", "-days", "2", "-addext", f"subjectAltName=IP:{address}"]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return (folder / "new.pem").replace(folder / "tls.pem"), (folder / "new.key").replace(folder / "tls.key")


def answers(port: int) -> bool:
    """Return whether a process listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
