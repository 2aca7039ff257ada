"""Start and stop: the first start, later starts, and messages if a start fails."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from processes import BIN, Server, started

pytestmark = pytest.mark.needs("time")

UPLOAD = {"Content-Type": "application/octet-stream"}


PROTECTIONS = "[^x_.*]\ncreate = admin\nread = admin,member\nupdate = admin\ndelete = admin\n"
COUNTING = """
import atexit, collections, json, os, pathlib
from tintype.blobs.filesystem import FilesystemStore
from tintype.db.engine import SQLite

counts = collections.Counter()

def count(kind, name, called):
    method = getattr(kind, name)
    def counted(self, *args, **options):
        counts[called(self)] += 1
        return method(self, *args, **options)
    setattr(kind, name, counted)

count(pathlib.Path, "read_text", lambda path: path.name)
for kind in (FilesystemStore, SQLite):
    count(kind, "__init__", lambda made: type(made).__name__)
atexit.register(lambda: pathlib.Path(os.environ["COUNTS"]).write_text(json.dumps(counts)))
"""
"""Counts the files that a process reads, and what it opens."""


def fails(folder: Path, *options: str, **run: object) -> str:
    """Start a server that cannot start; give the one line it says."""
    done = subprocess.run(
        [BIN / "tintype", "serve", "--data-dir", folder, "--port", "0", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **run,  # type: ignore[call-overload]
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return str(done.stderr)


def login(server: Server, password: str | None = None) -> dict[str, str]:
    """Log in with the password that clouds.yaml has, and give the headers of a request."""
    password = password or re.search(r'password: "(.+)"', server.clouds.read_text())[1]  # type: ignore[index]
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    response = httpx2.post(f"{server.url}/identity/v3/auth/tokens", json=body)
    assert response.status_code == 201, response.text
    return {"X-Auth-Token": response.headers["x-subject-token"]}


def test_the_first_start_makes_everything_and_later_ones_touch_nothing(tmp_path: Path) -> None:
    """Database, project, admin, clouds.yaml; the password is in that file alone, and stored as a hash."""
    folder = tmp_path / "data"
    with started(folder) as first:
        assert f"Dashboard: {first.url}/dashboard/" in first.output
        password = re.search(r'password: "(.+)"', first.clouds.read_text())[1]  # type: ignore[index]
        assert f"in {first.clouds})" in first.output
        assert password not in first.output, "a journal would keep it"
        headers = login(first, password)
        image = httpx2.post(f"{first.url}/v2/images", json={"name": "kept"}, headers=headers).json()
        assert first.stop() == 0
    for file in ("clouds.yaml", "tintype.db"):
        assert stat.S_IMODE((folder / file).stat().st_mode) & 0o077 == 0, file
    assert password.encode() not in b"".join(path.read_bytes() for path in folder.glob("tintype.db*"))
    assert password not in (tmp_path / "data.log").read_text()
    clouds = (folder / "clouds.yaml").read_text()
    with started(folder) as second:
        assert "password" not in second.output
        assert (folder / "clouds.yaml").read_text() == clouds.replace(first.url, second.url)
        shown = httpx2.get(f"{second.url}/v2/images/{image['id']}", headers=login(second))
        assert shown.json() == image
        assert headers["X-Auth-Token"] not in (tmp_path / "data.log").read_text()


def test_ctrl_c_drains(tmp_path: Path) -> None:
    """An upload that is under way when the service is told to stop is finished, then the process ends."""
    with started(tmp_path / "data") as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()
        begun = threading.Event()

        def slowly() -> Iterator[bytes]:
            for _ in range(10):
                begun.set()
                time.sleep(0.1)
                yield b"x" * 1000

        outcome: list[int] = []

        def upload() -> None:
            url = f"{server.url}/v2/images/{image['id']}/file"
            outcome.append(httpx2.put(url, content=slowly(), headers={**headers, **UPLOAD}).status_code)

        thread = threading.Thread(target=upload)
        thread.start()
        begun.wait()
        time.sleep(0.3)
        assert server.stop(signal.SIGINT) == 0
        thread.join()
        assert outcome == [204]
    with started(tmp_path / "data") as server:
        shown = httpx2.get(f"{server.url}/v2/images/{image['id']}", headers=login(server)).json()
        assert (shown["status"], shown["size"]) == ("active", 10_000)


def start_of(folder: Path, instead: str) -> subprocess.CompletedProcess[str]:
    """Start a service that runs `instead`, lines of Python, where it would begin to serve."""
    program = (
        "import uvicorn\nfrom tintype.cli.main import run\n"
        f"def start(self, sockets):\n{textwrap.indent(textwrap.dedent(instead), ' ')}\n"
        "uvicorn.Server.run = start\nrun()"
    )
    command: list[str | Path] = [sys.executable, "-c", program, "serve", "--data-dir", folder, "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_signal_is_heard_wherever_it_comes(tmp_path: Path) -> None:
    """Also in a callback of the interpreter's, which throws exceptions away; imports make many."""
    done = start_of(
        tmp_path,
        """
        import signal, time, weakref
        class Module: pass
        module = Module()
        callback = weakref.ref(module, lambda _: signal.raise_signal(signal.SIGTERM))
        del module
        time.sleep(30)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Tintype serves images" in done.stdout


def test_garbage_is_not_looked_for_in_what_was_there_from_the_start(tmp_path: Path) -> None:
    """Each look through all modules would hold up requests; they are a hundred thousand objects."""
    done = start_of(
        tmp_path,
        """
        import gc
        self.config.load()
        print("kept", gc.get_freeze_count())
        """,
    )
    assert int(done.stdout.rpartition("kept ")[2]) > 50_000


def test_an_upload_that_dies_with_its_process_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 and a new start the image is queued again at once, and no byte is left."""
    folder = tmp_path / "data"
    with started(folder) as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()
        begun = threading.Event()

        def half() -> Iterator[bytes]:
            yield b"x" * 5_000_000
            begun.set()
            time.sleep(3)

        def upload() -> None:
            with pytest.raises(httpx2.TransportError):
                httpx2.put(
                    f"{server.url}/v2/images/{image['id']}/file",
                    content=half(),
                    headers={**headers, **UPLOAD},
                )

        thread = threading.Thread(target=upload)
        thread.start()
        begun.wait()
        time.sleep(0.3)
        assert list((folder / "images" / "partial").iterdir())
        server.process.kill()
        thread.join()
    with started(folder) as server:
        url = f"{server.url}/v2/images/{image['id']}"
        headers = login(server)
        deadline = time.monotonic() + 10
        while httpx2.get(url, headers=headers).json()["status"] != "queued" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert httpx2.put(f"{url}/file", content=b"abc", headers={**headers, **UPLOAD}).status_code == 204
        assert httpx2.get(url, headers=headers).json()["status"] == "active"
        assert list((folder / "images" / "partial").iterdir()) == []


def test_a_cut_connection_leaves_nothing(tmp_path: Path) -> None:
    """A client that vanishes in the middle: the image is queued again within a second, no byte is left."""
    folder = tmp_path / "data"
    with started(folder) as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()
        url = f"{server.url}/v2/images/{image['id']}"
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
            head = (
                f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n"
                f"Content-Type: application/octet-stream\r\nX-Auth-Token: {headers['X-Auth-Token']}\r\n\r\n"
            )
            connection.sendall(head.encode() + b"x" * 9_000_000)
            time.sleep(0.3)
            assert httpx2.get(url, headers=headers).json()["status"] == "saving"
        time.sleep(1)
        assert httpx2.get(url, headers=headers).json()["status"] == "queued"
        assert list((folder / "images" / "partial").iterdir()) == []
        assert httpx2.put(f"{url}/file", content=b"abc", headers={**headers, **UPLOAD}).status_code == 204


def test_several_workers_serve_one_folder(tmp_path: Path) -> None:
    """What one process stores another shows; all of them end when told."""
    with started(tmp_path / "data", "--workers", "3") as server:
        headers = login(server)
        for number in range(40):
            with httpx2.Client() as client:  # a new connection may reach another process
                made = client.post(f"{server.url}/v2/images", json={"name": str(number)}, headers=headers)
            assert made.status_code == 201
            assert (
                httpx2.get(f"{server.url}/v2/images/{made.json()['id']}", headers=headers).status_code == 200
            )
        assert server.stop() == 0


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Also where it is killed: nobody serves a folder that is not held, and the next start finds it free."""
    with started(tmp_path / "data", "--workers", "2") as server:
        headers = login(server)
        image = httpx2.post(f"{server.url}/v2/images", json={}, headers=headers).json()["id"]
        workers = psutil.Process(server.process.pid).children(recursive=True)
        assert len(workers) >= 2
        server.process.kill()
        _, left = psutil.wait_procs(workers, timeout=15)
        for worker in left:
            worker.kill()
        assert left == []
    with started(tmp_path / "data", "--port", server.url.rpartition(":")[2]) as again:
        assert httpx2.get(f"{again.url}/v2/images/{image}", headers=login(again)).status_code == 200


def workers_of(server: Server) -> list[psutil.Process]:
    """Return a server's worker processes."""
    children = psutil.Process(server.process.pid).children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


def test_a_worker_that_does_not_answer_is_kept(tmp_path: Path) -> None:
    """On a busy host it is slow for a while, most of all when it starts; killing it loses its requests."""
    with started(tmp_path / "data", "--workers", "2") as server:
        workers = workers_of(server)
        workers[0].suspend()
        time.sleep(8)
        workers[0].resume()
        time.sleep(1)
        assert [each.pid for each in workers_of(server)] == [each.pid for each in workers]


def test_a_worker_that_dies_is_replaced_and_logged(tmp_path: Path) -> None:
    """An operator learns of it, and by which signal: a lack of memory is SIGKILL."""
    with started(tmp_path / "data", "--workers", "2", TINTYPE_LOG_STYLE="json") as server:
        headers = login(server)
        worker = workers_of(server)[0]
        worker.kill()
        deadline, died = time.monotonic() + 60, list[dict[str, object]]()
        while not died and time.monotonic() < deadline:
            time.sleep(0.2)
            lines = (tmp_path / "data.log").read_text().splitlines()
            events = [json.loads(line) for line in lines if line.startswith("{")]
            died = [each for each in events if each["event"] == "worker process died"]
        assert [(each["level"], each["pid"], each["reason"]) for each in died] == [
            ("error", worker.pid, "SIGKILL")
        ]
        assert httpx2.get(f"{server.url}/v2/images", headers=headers, timeout=30).status_code == 200


def test_the_port_is_taken(tmp_path: Path) -> None:
    """A second process on the same port says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert "Address already in use" in fails(tmp_path / "data", "--port", port)


def test_the_folder_is_taken(tmp_path: Path) -> None:
    """A second process on the same folder says so."""
    with started(tmp_path / "data"):
        assert "Another Tintype serves" in fails(tmp_path / "data")


def test_the_folder_is_read_only(tmp_path: Path) -> None:
    """A folder that cannot be written is named."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o555)
    if os.getuid() == 0:  # root writes anywhere but here
        folder = Path("/sys/kernel/tintype")
    assert f"Cannot use the data folder {folder}" in fails(folder)


def test_the_disk_is_full(tmp_path: Path) -> None:
    """A disk that takes no more is one line, and the next start begins anew."""

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    said = fails(tmp_path / "data", preexec_fn=full)
    assert "Cannot use the da" in said
    with started(tmp_path / "data") as server:
        login(server)


def test_the_database_is_newer(tmp_path: Path) -> None:
    """A database from which a later version has taken something away is refused, untouched."""
    folder = tmp_path / "data"
    with started(folder) as server:
        server.stop()
    with sqlite3.connect(folder / "tintype.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE secrets SET value = '9999' WHERE name LIKE 'oldest schema%'")
    database.close()
    assert "newer" in fails(folder)


def test_the_database_is_none(tmp_path: Path) -> None:
    """A file of something else in the database's place is one line."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "tintype.db").write_text("this is no database " * 100)
    assert "not a database" in fails(folder)


def test_the_folder_is_a_file(tmp_path: Path) -> None:
    """A data folder that is, or lies below, a file is one line."""
    (tmp_path / "file").write_text("x")
    assert "file" in fails(tmp_path / "file")
    assert "file" in fails(tmp_path / "file" / "data")


def test_users_are_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """A role that does not exist makes neither user nor project; names are words; - reads a password."""
    with started(tmp_path / "data") as server:
        wrong = server.run(
            "tintype", "user", "create", "eve", "--project", "new", "--role", "king", check=False
        )
        assert (wrong.returncode, "no role king" in wrong.stderr) == (1, True)
        assert "eve" not in server.run("tintype", "user", "list").stdout
        assert "new" not in server.run("tintype", "project", "list").stdout
        assert server.run("tintype", "project", "create", "a\x1b[31mb", check=False).returncode == 1
        server.run("tintype", "project", "create", "[/red]")
        rows = [row.split("\t") for row in server.run("tintype", "project", "list").stdout.splitlines()]
        assert rows[0] == ["id", "name", "description"]
        assert "[/red]" in [row[1] for row in rows]
        assert server.run("tintype", "user", "set", "admin", check=False).returncode == 1
        script = "echo from-a-pipe | tintype user set admin --password -"
        server.run("bash", "-c", script)
        login(server, "from-a-pipe")


def test_settings_are_wrong(tmp_path: Path) -> None:
    """An unknown setting is one line with the nearest known name."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "tintype.toml").write_text("[server]\nworker = 2\n")
    assert "did you mean 'server.workers'" in fails(folder)


def test_trailers_are_no_headers(tmp_path: Path) -> None:
    """What comes behind a chunked body is not taken for a header, and is not kept without end."""
    with started(tmp_path / "data") as server:
        token = login(server)["X-Auth-Token"]
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        head = b"POST /v2/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(head + f"X-Auth-Token: {token}\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(head)
            sent = 0
            with contextlib.suppress(OSError):
                while sent < 50_000_000:
                    sent += connection.send(b"X-More: " + b"x" * 65000 + b"\r\n")
            assert sent < 20_000_000


def test_another_protocol_is_not_offered(tmp_path: Path) -> None:
    """A client that would rather speak HTTP/2 is answered in HTTP/1.1; a body is never taken for empty."""
    with started(tmp_path / "data") as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()
        url = f"{server.url}/v2/images/{image['id']}"
        upgrade = {
            **headers,
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AA",
        }
        assert httpx2.get(url, headers=upgrade).status_code == 200
        for content in (b"abc", iter([b"abc", b"def"])):
            refused = httpx2.put(f"{url}/file", content=content, headers={**upgrade, **UPLOAD})
            assert refused.status_code == 400
        time.sleep(0.3)
        assert httpx2.get(url, headers=headers).json()["status"] == "queued"


def test_downloads_that_are_given_up_cost_nothing(tmp_path: Path) -> None:
    """After many clients that went away the server holds no more files open than before."""
    with started(tmp_path / "data") as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()
        url = f"{server.url}/v2/images/{image['id']}/file"
        assert httpx2.put(url, content=b"x" * 40_000_000, headers={**headers, **UPLOAD}).status_code == 204
        folder = Path(f"/proc/{server.process.pid}/fd")

        def held() -> int:
            return sum("images" in str(entry.readlink()) for entry in folder.iterdir() if entry.is_symlink())

        for _ in range(20):
            with httpx2.stream("GET", url, headers=headers) as response:
                next(response.iter_raw(1000))
        deadline = time.monotonic() + 5
        while held() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert held() == 0


def test_smuggled_requests_are_refused(tmp_path: Path) -> None:
    """Two lengths, or a length and chunks, in one request end the connection with 400."""
    with started(tmp_path / "data") as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        for headers in (
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Content-Length: 4\r\nContent-Length: 5",
            "Transfer-Encoding: chunked, identity",
            "Content-Length: -1",
            "Content-Length: 4\r\n X-Folded: 1",
            "Bad Header: x",
        ):
            with socket.create_connection(address, timeout=5) as connection:
                request = f"POST /v2/images HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n"
                connection.sendall(request.encode() + b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
                    if answer.count(b"HTTP/1.1 ") > 1:
                        break
            assert answer.startswith(b"HTTP/1.1 4"), (headers, answer)
            assert answer.count(b"HTTP/1.1 ") == 1, (headers, answer)


def test_a_head_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One endless header does not fill the memory: the connection ends after some kilobytes."""
    with started(tmp_path / "data") as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"GET /v2/images HTTP/1.1\r\nHost: x\r\nX-Endless: ")
            sent = 0
            with contextlib.suppress(OSError):
                while sent < 50_000_000:
                    sent += connection.send(b"x" * 65536)
            assert sent < 20_000_000
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"this is no HTTP\r\n\r\n")
            answer = connection.recv(65536)
        assert b"400 Bad Request" in answer
        assert b"x-openstack-request-id: req-" in answer
        assert httpx2.get(f"{server.url}/healthcheck").status_code == 200


def test_an_address_that_was_edited_in_clouds_yaml(tmp_path: Path) -> None:
    """A start leaves it alone and tells its own; a new password says where to write it."""
    folder = tmp_path / "data"
    with started(folder) as server:
        text = server.clouds.read_text().replace(server.url, "https://images.example.org")
        server.clouds.write_text(text.replace("# Written for https://images.example.org\n", ""))
    edited = server.clouds.read_text()
    with started(folder) as server:
        assert server.clouds.read_text() == edited
        assert f"auth_url {server.url}/identity" in server.output
        changed = server.run("tintype", "user", "set", "admin", "--password", "changed")
        assert f"{server.clouds} may have the old password of admin" in changed.stderr
        assert "clouds.tintype.auth.password" in changed.stderr
        assert server.clouds.read_text() == edited


def test_the_password_can_be_set_while_the_service_runs(tmp_path: Path) -> None:
    """`tintype user set` works on a running service's folder."""
    with started(tmp_path / "data") as server:
        login(server)
        changed = server.run("tintype", "user", "set", "admin", "--password", "changed")
        assert changed.stderr == ""
        login(server, "changed")
        login(server)  # with the password of clouds.yaml
        assert stat.S_IMODE(server.clouds.stat().st_mode) == 0o600
        assert "admin" in server.run("tintype", "role", "list").stdout
        server.run("tintype", "project", "create", "more")
        server.run("tintype", "role", "add", "admin", "more", "reader")
        assert "more" in server.run("tintype", "role", "list").stdout
        server.run("tintype", "role", "remove", "admin", "more", "reader")
        server.run("tintype", "project", "delete", "more")
        again = server.run("tintype", "user", "create", "admin", check=False)
        assert (again.returncode, again.stderr) == (1, "tintype: There is a user named admin already.\n")
    assert shutil.which("tintype") or (BIN / "tintype").exists()


@pytest.mark.parametrize(
    ("store", "options", "complaint"),
    [
        ('type = "file"\nfolder = "/etc/passwd"\n', (), "store 'q'"),
        ('type = "tape"\n', (), "stores.q.type"),
        ('type = "memory"\n', ("--workers", "2"), "one worker"),
    ],
)
def test_a_store_that_cannot_be_opened_stops_the_start(
    tmp_path: Path, store: str, options: tuple[str, ...], complaint: str
) -> None:
    """One line that names it, before anything is made or promised."""
    (tmp_path / "tintype.toml").write_text(f"[stores.q]\n{store}")
    command: list[str | Path] = [BIN / "tintype", "serve", "--data-dir", tmp_path, "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "clouds.yaml").exists()


def test_uploads_under_way_when_the_service_stops_are_told(tmp_path: Path) -> None:
    """When its patience is over they get a 503 of the usual shape, and the log no traceback."""
    folder = tmp_path / "data"
    with started(folder, TINTYPE_SERVER_DRAIN_SECONDS="1") as server:
        headers = {"X-Auth-Token": server.log_in()}
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()["id"]
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            lines = (
                *(
                    f"PUT /v2/images/{image}/file HTTP/1.1",
                    f"Host: {host}",
                    f"X-Auth-Token: {headers['X-Auth-Token']}",
                ),
                *("Content-Type: application/octet-stream", "Content-Length: 1000", "", "abc"),
            )
            connection.sendall("\r\n".join(lines).encode())
            time.sleep(0.5)
            assert server.stop() == 0
            answer = connection.recv(10_000).decode()
        assert answer.startswith("HTTP/1.1 503")
        assert "The service is stopping." in answer
    assert "Traceback" not in (tmp_path / "data.log").read_text()


def test_downloads_under_way_when_the_service_stops_are_cut(tmp_path: Path) -> None:
    """A client that does not read has its connection ended, and the log a line of it, no traceback."""
    with started(tmp_path / "data", TINTYPE_SERVER_DRAIN_SECONDS="1") as server:
        headers = {"X-Auth-Token": server.log_in()}
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()["id"]
        file = f"{server.url}/v2/images/{image}/file"
        sent = httpx2.put(file, content=bytes(40_000_000), headers={**headers, **UPLOAD})
        assert sent.status_code == 204
        with httpx2.stream("GET", file, headers=headers) as answer:
            assert answer.status_code == 200
            assert server.stop() == 0
            with pytest.raises(httpx2.TransportError):
                answer.read()
    log = (tmp_path / "data.log").read_text()
    assert "Traceback" not in log
    assert "response was cut" in log


def test_a_store_that_nothing_is_in_may_move(tmp_path: Path) -> None:
    """Until it has bytes; then its folder must be the one that they are in."""
    folder, other = tmp_path / "data", tmp_path / "other"
    with started(folder):
        pass
    (folder / "tintype.toml").write_text(f"[stores.local]\ntype = 'file'\nfolder = '{other}'\n")
    with started(folder) as server:
        headers = login(server)
        body = {"disk_format": "raw", "container_format": "bare"}
        image = httpx2.post(f"{server.url}/v2/images", json=body, headers=headers).json()["id"]
        put = httpx2.put(f"{server.url}/v2/images/{image}/file", content=b"x", headers=headers | UPLOAD)
        assert put.status_code == 204
    other.rename(tmp_path / "away")
    assert "is it mounted?" in fails(folder)
    command: list[str | Path] = [BIN / "tintype", "worker", "--data-dir", folder]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, "is it mounted?" in refused.stderr) == (1, True)
    assert not other.exists()  # nothing is made where a disk is to be mounted


def test_a_policy_file_that_is_named_and_missing(tmp_path: Path) -> None:
    """A typo must not mean the default rules."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "tintype.toml").write_text("[policy]\nfile = 'polcy.yaml'\n")
    assert "polcy.yaml" in fails(folder)


def test_a_start_makes_each_part_once(tmp_path: Path) -> None:
    """One process reads each of the operator's files once and opens its store once, its database twice.

    The second time is for the event loop that serves: connections of the first belong to another one.
    """
    folder, counts = tmp_path / "data", tmp_path / "counts.json"
    folder.mkdir()
    (folder / "tintype.toml").write_text("[policy]\nproperty_file = 'protections.conf'\n")
    (folder / "protections.conf").write_text(PROTECTIONS)
    (folder / "policy.yaml").write_text("{}\n")
    (folder / "schema-image.json").write_text("{}\n")
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "sitecustomize.py").write_text(COUNTING)
    with started(folder, PYTHONPATH=str(tmp_path / "counting"), COUNTS=str(counts)) as server:
        assert httpx2.get(f"{server.url}/v2/images", headers=login(server)).status_code == 200
    found = json.loads(counts.read_text())
    once = dict.fromkeys(("policy.yaml", "protections.conf", "schema-image.json", "FilesystemStore"), 1)
    assert {name: found.get(name) for name in (*once, "SQLite")} == {**once, "SQLite": 2}
