"""The command line in hostile environments: one line on standard error, an exit code, never a traceback."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from processes import TINTYPE

IMAGE: dict[str, Any] = {
    "id": "11111111-2222-4333-8444-555555555555",
    "name": "naïve \u2028 ☃ " + "é" * 200,
    "status": "active",
    "size": 3,
    "disk_format": "raw",
    "container_format": "bare",
    "visibility": "private",
    "tags": ["ü"],
    "owner": "p",
    "ключ": "значение",
}
HOSTILE_ERROR = json.dumps({"code": 403, "title": "F", "message": "no\n\x1b[2Jway\r☃"}).encode()


class Image(BaseHTTPRequestHandler):
    """Has one image, whose name and properties are hard to print; refuses all that changes something."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/file"):
            self.give(b"abc", "application/octet-stream")
        elif path.endswith("/tasks"):
            self.give(b'{"tasks": []}')
        elif path == f"/v2/images/{IMAGE['id']}":
            self.give(json.dumps(IMAGE).encode())
        elif path == "/v2/images":
            self.give(json.dumps({"images": [IMAGE] * 50}).encode())
        elif path.startswith("/v2/images/"):
            self.give(b"{}", status=404)
        else:
            self.give(HOSTILE_ERROR, status=403)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.give(HOSTILE_ERROR, status=403)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def give(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Image)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


COMMANDS = [
    ["image", "list"],
    ["image", "list", "-f", "json"],
    ["image", "list", "-f", "yaml"],
    ["image", "list", "-f", "csv"],
    ["image", "list", "-f", "value"],
    ["image", "show", IMAGE["id"]],
    ["image", "show", IMAGE["id"], "-f", "shell"],
    ["image", "show", "nöne"],
    ["image", "pull", IMAGE["id"]],
    ["image", "pull", IMAGE["id"], "-"],
    ["image", "push", "file"],
    ["image", "push", "-"],
    ["image", "set", IMAGE["id"], "--name", "ü"],
    ["image", "delete", IMAGE["id"], "nöne"],
    ["image", "create", "x", "--property", "ä=ö"],
    ["image", "import", IMAGE["id"], "--uri", "http://x/ü"],
    ["member", "add", IMAGE["id"], "projekt ü"],
    ["member", "accept", "nöne"],
    ["tag", "add", IMAGE["id"], "ü"],
    ["store", "list"],
    ["task", "list"],
    ["cache", "show"],
    ["info", "usage"],
    ["info", "versions"],
    ["metadef", "list"],
    ["version"],
    ["image", "--help"],
]
PRINTING = [*COMMANDS[:7], ["image", "pull", IMAGE["id"], "-"], ["image", "push", "-"], ["image", "--help"]]
ASCII: dict[str, str | None] = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "ascii": ASCII,
    "latin": {"PYTHONIOENCODING": "latin-1"},
    "odd variables": {
        "HTTPS_PROXY": "socks5://x:1",
        "ALL_PROXY": "://",
        "NO_PROXY": "127.0.0.1,[,::1/x",
        "SSL_CERT_FILE": "/nowhere.pem",
        "HOME": None,
        "XDG_CONFIG_HOME": "/dev/null",
    },
}


DRIVER = """
import fcntl, json, os, sys, tempfile
import tintype.cli.commands, tintype.cli.main
for name in ("images", "members", "tags", "tasks", "stores", "metadefs", "cache", "info"):
    __import__(f"tintype.cli.{name}")
import contextlib, httpcore2, rich.progress, rich.table, yaml
with contextlib.suppress(ImportError):
    import typer._adapters  # slow, and so better once than in each process
commands, result = json.loads(sys.argv[1]), sys.argv[2]
ended = []
for command in commands:
    with open("file", "wb") as file:
        file.write(b"abc")
    said = tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        high = fcntl.fcntl(said.fileno(), fcntl.F_DUPFD, 100)
        said.close()
        if sys.stderr is not None:
            os.dup2(high, 2)
        sys.argv = ["tintype", *command]
        break
    _, status = os.waitpid(child, 0)
    said.seek(0)
    ended.append([os.waitstatus_to_exitcode(status), said.read().decode(errors="replace")])
    said.close()
else:
    with open(result, "w") as file:
        json.dump(ended, file)
    os._exit(0)
sys.exit(tintype.cli.main.run())
"""
"""Runs commands one after the other, each in a process that is forked rather than started anew."""


def environ(endpoint: str, folder: Path, more: Mapping[str, str | None]) -> dict[str, str]:
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "OS_IMAGE_ENDPOINT_OVERRIDE": endpoint,
        "OS_TOKEN": "t",
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def run_all(
    endpoint: str,
    commands: Sequence[Sequence[str]],
    folder: Path,
    more: Mapping[str, str | None],
    **how: Any,
) -> list[tuple[list[str], int, str]]:
    """Return how each command ended and what it said on standard error, after checking both."""
    result = folder / "result.json"
    subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(commands), str(result)],
        env=environ(endpoint, folder, more),
        cwd=folder,
        check=True,
        timeout=120,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **how},
    )
    ended = [
        (list(command), *end) for command, end in zip(commands, json.loads(result.read_text()), strict=True)
    ]
    for command, code, said in ended:
        check(command, code, said)
    return ended


def check(command: Sequence[str], code: int, said: str) -> None:
    for word in ("Traceback", "Exception ignored", "fault of the client", "\x1b[2J"):
        assert word not in said, f"{command}: {said}"
    assert code in {0, 1, 2}, f"{command}: {code} {said}"
    if code == 1 and "delete" not in command and said:
        assert len(said.strip().splitlines()) == 1, f"{command}: {said}"


@pytest.mark.needs("time")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_command(environment: str, endpoint: str, tmp_path: Path) -> None:
    """Each command ends in order, whatever the environment has in it."""
    run_all(endpoint, COMMANDS, tmp_path, ENVIRONMENTS[environment])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_closed_streams(number: int, endpoint: str, tmp_path: Path) -> None:
    """What prints nothing succeeds; what cannot print fails."""
    how = {"stdin": None, "stdout": None, "stderr": None, "preexec_fn": lambda: os.close(number)}
    ended = run_all(endpoint, PRINTING, tmp_path, {}, **how)
    if number == 1:
        codes = {" ".join(command[:2] + command[3:]): code for command, code, _ in ended}
        assert codes["image list"] == codes["image pull -"] == 1


def test_a_full_disk(endpoint: str, tmp_path: Path) -> None:
    """It is said, and the exit code is 1."""
    with Path("/dev/full").open("wb") as full:
        for command, code, said in run_all(endpoint, PRINTING, tmp_path, {}, stdout=full):
            if command[:2] in (["image", "list"], ["image", "show"]) and "nöne" not in command:
                assert code == 1, command
                assert os.strerror(errno.ENOSPC) in said


def test_a_reader_that_goes_away(endpoint: str, tmp_path: Path) -> None:
    """`| head` ends a command without a word."""
    read, write = os.pipe()
    os.close(read)
    for command, code, said in run_all(endpoint, PRINTING, tmp_path, {}, stdout=write):
        assert "Broken pipe" not in said, command
        if command[:2] in (["image", "list"], ["image", "show"]):
            assert (code, said) == (1, ""), command
    os.close(write)


ODD = "n\udcff\udcfe"
"""What Python makes of bytes that are no UTF-8."""
NAMES = [
    ["image", "show", ODD],
    ["image", "list", "--name", ODD],
    ["image", "list", "--property", f"{ODD}={ODD}"],
    ["image", "create", ODD],
    ["image", "push", ODD],
    ["image", "pull", IMAGE["id"], ODD],
    ["image", "set", IMAGE["id"], "--property", f"a={ODD}"],
    ["image", "push", "x" * 5000],
    ["image", "pull", IMAGE["id"], "x" * 300],
    ["image", "pull", IMAGE["id"], "ü"],
    ["image", "show", "x" * 20_000],
    ["member", "add", IMAGE["id"], ODD],
    ["tag", "add", IMAGE["id"], ODD],
    ["image", "list", "--cloud", ODD],
    ["image", "push", "file", "--store", "ü\n"],
    *(
        ["--endpoint", address, "--token", "t", "image", "list"]
        for address in (
            f"http://{ODD}",
            "http://" + "a" * 70,
            "http://a..b",
            "http://[::1",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:x",
            "http://127.0.0.1:0",
        )
    ),
    ["--cacert", "file", "image", "list"],
    ["--token", ODD, "--endpoint", "http://127.0.0.1:1", "image", "list"],
    ["--cacert", ODD, "image", "list"],
]


@pytest.mark.needs("time")
@pytest.mark.parametrize("environment", ["odd variables", "ascii"])
def test_names_that_are_no_text(environment: str, endpoint: str, tmp_path: Path) -> None:
    """Names that cannot be sent, or that the file system cannot hold, are told or replaced."""
    (tmp_path / ODD).write_bytes(b"abc")
    run_all(endpoint, NAMES, tmp_path, ENVIRONMENTS[environment])
    run_all(endpoint, [["image", "pull", IMAGE["id"]]], tmp_path, ENVIRONMENTS[environment])
    assert (tmp_path / f"{IMAGE['id']}.raw").read_bytes() == b"abc", "an image's name is too long for a file"


CONFIGURATIONS = [
    b"\xff",
    b"clouds: [",
    b"clouds: []",
    b"- x",
    b"clouds: {x: 1}",
    b"x",
    b"clouds: {x: {auth: 1}}",
]


@pytest.mark.parametrize("content", CONFIGURATIONS)
def test_files_of_clouds(content: bytes, endpoint: str, tmp_path: Path) -> None:
    """One that makes no sense is named."""
    (tmp_path / "clouds.yaml").write_bytes(content)
    ended = run_all(endpoint, [["image", "list"]], tmp_path, {"OS_CLOUD": "x"})
    assert ended[0][1] == 1
    assert "clouds.yaml" in ended[0][2]


def test_an_interrupt(endpoint: str, tmp_path: Path) -> None:
    """Ctrl-C ends a command that waits, with 130 and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [TINTYPE, "--endpoint", address, "--token", "t", "image", "list"],
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        with process, silent.accept()[0] as connection:
            while not connection.recv(1 << 16).endswith(b"\r\n\r\n"):
                pass
            while process.poll() is None:
                process.send_signal(signal.SIGINT)  # Python may lose one, in the middle of tidying up
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            said = process.stderr.read()  # type: ignore[union-attr]
    assert process.returncode == 130
    assert b"Traceback" not in said
