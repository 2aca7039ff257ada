"""Measure what one client can do to the others: each attack against an older commit and against this tree.

    python benchmarks/attacks.py BEFORE [--only logins,downloads] [--servers keystone,ceph]

BEFORE is a commit. Its source is run with this environment's Python, the tree's own beside it; each attack
starts a server of one of them, does its worst within a bound of time and count, on loopback only, and gives
figures with what must hold. Attacks that need a Keystone or a Ceph run when they are asked for. The table
is kept under benchmarks/results; the exit code is 1 where something does not hold in this tree.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import processes  # noqa: E402  the tests' servers
import web  # noqa: E402  the tests' sources

MIB = 1 << 20
JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/octet-stream"}
RECORD = {"disk_format": "raw", "container_format": "bare"}
PASSWORD = "secret-of-an-attack"
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HEAD = """\
| # | figure | before | after | must hold | holds |
| --: | --- | --: | --: | --- | --- |"""
processes.START_SECONDS = 120


class Figure(msgspec.Struct, frozen=True):
    """One thing that an attack has measured."""

    name: str
    value: float | str
    unit: str
    wanted: str
    holds: bool

    def shown(self) -> str:
        """Return the value as the table has it."""
        value = self.value if isinstance(self.value, str) else f"{self.value:,.3g}"
        return f"{value} {self.unit}".strip()


def most(name: str, value: float, unit: str, limit: float) -> Figure:
    """Return a figure that must stay below a limit."""
    return Figure(name, value, unit, f"< {limit:g} {unit}".strip(), value < limit)


def same(name: str, value: str, wanted: str) -> Figure:
    """Return a figure that must be one of those in words, with commas between."""
    return Figure(name, value, "", wanted.replace(",", " or "), value in wanted.split(","))


class Target:
    """A server of one source tree, and how to talk to it."""

    def __init__(self, server: processes.Server, source: Path) -> None:
        self.server, self.url, self.source = server, server.url, source
        self.port = int(server.url.rsplit(":", 1)[1])
        self.admin = self.client({"X-Auth-Token": server.log_in()})

    def client(self, headers: dict[str, str]) -> httpx2.Client:
        """Return an HTTP client."""
        return httpx2.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)

    def member(self, name: str) -> httpx2.Client:
        """Make a project with one member, and return a client of theirs."""
        made = {}
        for noun in ("project", "user"):
            body = {noun: {"name": name} | ({"password": PASSWORD} if noun == "user" else {})}
            answer = self.admin.post(f"/identity/v3/{noun}s", json=body)
            made[noun] = answer.json()[noun]["id"]
        roles = {role["name"]: role["id"] for role in self.admin.get("/identity/v3/roles").json()["roles"]}
        path = f"/identity/v3/projects/{made['project']}/users/{made['user']}/roles/{roles['member']}"
        self.admin.put(path)
        answer = self.log_in(name, PASSWORD, name)
        assert answer.status_code == 201, answer.text
        return self.client({"X-Auth-Token": answer.headers["x-subject-token"]})

    def log_in(self, name: str, password: str, project: str | None = None) -> httpx2.Response:
        """Log in to the built-in identity."""
        auth = {"auth": login(name, password, project)}
        return httpx2.post(f"{self.url}/identity/v3/auth/tokens", json=auth, timeout=120, trust_env=False)

    def dial(self, source: str = "127.0.0.1", **options: int) -> socket.socket:
        """Open a connection from an address of loopback."""
        connection = socket.socket()
        for option, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
        connection.settimeout(60)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", self.port))
        return connection

    def resident(self) -> float:
        """Return the resident MiB of the server."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def knows(self, setting: str) -> bool:
        """Return whether this tree has a setting: an unknown one stops its start."""
        return knows(self.source, setting)

    def tintype(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of the service's commands on its data folder."""
        environment: dict[str, Any] = {
            "PYTHONPATH": str(self.source),
            "TINTYPE_DATA_DIR": str(self.server.folder),
        }
        done: subprocess.CompletedProcess[str] = self.server.run(
            "tintype", *command, check=False, **environment
        )
        return done


def knows(source: Path, setting: str) -> bool:
    """Return whether a tree has a setting."""
    return any(f"    {setting}: " in path.read_text() for path in (source / "tintype/settings").glob("*.py"))


def login(name: str, password: str, project: str | None) -> dict[str, Any]:
    """Return the document of a login."""
    domain = {"id": "default"}
    user = {"name": name, "domain": domain, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    return auth | ({"scope": {"project": {"name": project, "domain": domain}}} if project else {})


@contextlib.contextmanager
def serving(source: Path, folder: Path, **environment: str) -> Iterator[Target]:
    """Start a server of a source tree."""
    more: dict[str, Any] = {"PYTHONPATH": str(source), "TINTYPE_LOG_LEVEL": "error", **environment}
    with processes.started(folder, **more) as server:
        yield Target(server, source)


def image(client: httpx2.Client, **attributes: Any) -> str:
    """Return the path of a new image."""
    answer = client.post("/v2/images", json={**RECORD, **attributes})
    assert answer.status_code == 201, answer.text
    return f"/v2/images/{answer.json()['id']}"


def logins(source: Path, folder: Path) -> list[Figure]:
    """Send 500 wrong logins from one address and go away; log in rightly from another."""
    with serving(source, folder) as target:
        target.member("alice")
        gone = []
        for number in range(500):
            body = json.dumps({"auth": login(f"nobody-{number}", "wrong", None)})
            head = f"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection = target.dial("127.0.0.2")
            connection.sendall((head + body).encode())
            gone.append(connection)
        for connection in gone:
            connection.close()
        began = time.monotonic()
        try:
            status = str(target.log_in("alice", PASSWORD, "alice").status_code)
        except httpx2.ReadTimeout:
            status = "none"
        seconds = time.monotonic() - began
    return [
        most("right login behind 500 wrong ones whose clients are gone", seconds, "s", 1),
        same("its status", status, "201"),
    ]


def imports(source: Path, folder: Path) -> list[Figure]:
    """Have two projects fetch from a source of 1.2 KB/s; a third one imports 1,000 staged bytes."""
    stop = threading.Event()

    def drip(request: web.Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(100 * MIB))
        request.end_headers()
        while not stop.wait(0.25):
            request.wfile.write(bytes(300))
            request.wfile.flush()

    with web.serving(drip) as slow:
        settings = {
            "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TINTYPE_IMPORTS_PORTS": str(slow.server_port),
        }
        with serving(source, folder, **settings) as target:
            clients = [target.member(f"member-{number}") for number in range(3)]
            for client in clients[:2]:
                for _ in range(3):
                    method = {"name": "web-download", "uri": slow.url}
                    client.post(f"{image(client)}/import", json={"method": method})
            time.sleep(3)
            made = image(clients[2])
            clients[2].put(f"{made}/stage", content=bytes(1000), headers=BINARY)
            began = time.monotonic()
            clients[2].post(f"{made}/import", json={"method": {"name": "glance-direct"}})
            while (seconds := time.monotonic() - began) < 20:
                if clients[2].get(made).json()["status"] == "active":
                    break
                time.sleep(0.1)
            stop.set()
    return [
        most("import of 1,000 staged bytes while six slow downloads run (20: not begun)", seconds, "s", 5)
    ]


def downloads(source: Path, folder: Path) -> list[Figure]:
    """Ask for downloads and do not read them; then go away."""
    settings = {"TINTYPE_IMAGES_PARALLEL_DOWNLOADS": "1000"} if knows(source, "parallel_downloads") else {}
    with serving(source, folder, **settings) as target:
        made = image(target.admin)
        target.admin.put(f"{made}/file", content=(bytes(MIB) for _ in range(64)), headers=BINARY)
        target.admin.get(f"{made}/file")
        time.sleep(1)
        idle = target.resident()
        token = target.admin.headers["X-Auth-Token"]
        request = f"GET {made}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n".encode()
        held = []
        for _ in range(300):
            connection = target.dial(SO_RCVBUF=4096)
            connection.sendall(request)
            held.append(connection)
        taken = sum(connection.recv(15).startswith(b"HTTP/1.1 200") for connection in held)
        time.sleep(5)
        each = (target.resident() - idle) / max(1, taken) * 1024
        for connection in held:
            connection.close()
        until = time.monotonic() + 60
        while (after := target.resident()) > idle * 1.1 and time.monotonic() < until:
            time.sleep(1)
    return [
        most("memory of each of 300 downloads that do not read, as far as they are taken", each, "KiB", 256),
        most("memory above idle a minute after their end", (after / idle - 1) * 100, "%", 10),
    ]


def lists(source: Path, folder: Path) -> list[Figure]:
    """Have two clients send lists of changing shape, or large bodies, while another shows an image."""
    with serving(source, folder) as target:
        member = target.member("victim")
        made = image(member)
        properties = json.dumps({f"p{number}": "" for number in range(70_000)}).encode()
        tags = json.dumps({"tags": [str(number) for number in range(100_000)]}).encode()
        chance = random.Random(1)

        def shapes() -> tuple[str, str, bytes]:
            names = chance.sample(range(100_000), chance.randint(50, 149))
            return "GET", "/v2/images?" + "&".join(f"p{name}=1" for name in names), b""

        works: dict[str, Callable[[], tuple[str, str, bytes]]] = {
            "lists of changing shape": shapes,
            "70,000 properties": lambda: ("POST", "/v2/images", properties[: MIB - 1]),
            "100,000 tags": lambda: ("POST", "/v2/images", tags[: MIB - 1]),
            "60,000 commas": lambda: ("GET", f"/v2/images?id=in:{',' * 60_000}", b""),
        }
        found = [Figure("p99 of another's show, idle", shown(member, made), "ms", "", True)]
        for name, work in works.items():
            attackers = [
                multiprocessing.get_context("fork").Process(target=repeat, args=(target, work), daemon=True)
                for _ in range(2)
            ]
            for attacker in attackers:
                attacker.start()
            time.sleep(0.5)
            found.append(most(f"p99 of another's show during {name}", shown(member, made), "ms", 15))
            for attacker in attackers:
                attacker.kill()
                attacker.join()
    return found


def repeat(target: Target, work: Callable[[], tuple[str, str, bytes]]) -> None:
    """Send a work again and again, until killed."""
    client = target.client(dict(target.admin.headers))
    while True:
        method, path, body = work()
        client.request(method, path, content=body, headers=JSON)


def shown(client: httpx2.Client, path: str) -> float:
    """Return the milliseconds that 99 % of four seconds' requests took at most."""
    waits, until = [], time.monotonic() + 4
    while time.monotonic() < until:
        began = time.perf_counter()
        client.get(path)
        waits.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    return statistics.quantiles(waits, n=100)[-1]


def forms(source: Path, folder: Path) -> list[Figure]:
    """Send a form of 64 MiB but for its last byte, with a quota of 16."""
    with serving(source, folder, TINTYPE_QUOTAS_IMAGE_SIZE_TOTAL="16") as target:
        target.member("alice")
        page = target.client({"X-Requested-With": "XMLHttpRequest"})
        answer = page.post("/api/session/", json={"username": "alice", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        head = '--b\r\nContent-Disposition: form-data; name="data"; filename="d"\r\n\r\n'
        size = 64 * MIB
        lines = [
            *(
                "POST /api/glance/images/ HTTP/1.1",
                "Host: x",
                "Content-Type: multipart/form-data; boundary=b",
            ),
            f"X-CSRFToken: {answer.json()['csrf_token']}",
            f"Cookie: tintype_session={page.cookies['tintype_session']}",
            *("X-Requested-With: XMLHttpRequest", f"Content-Length: {size}", "", ""),
        ]
        with target.dial() as connection:
            connection.sendall("\r\n".join(lines).encode() + head.encode())
            with contextlib.suppress(OSError):
                for _ in range(size // MIB - 1):
                    connection.sendall(bytes(MIB))
            time.sleep(2)
            held = held_files(target.server.process.pid) / MIB
    return [
        most("bytes of an unfinished form that the server holds, with a quota of 16 MiB", held, "MiB", 18)
    ]


def held_files(process: int) -> int:
    """Return the bytes of open files that have no name any more, or stand in a scratch folder."""
    found = 0
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(link.readlink())
            if name.startswith("/") and ("(deleted)" in name or "/scratch/" in name or "/#" in name):
                found += link.stat().st_size
    return found


def vmdk(source: Path, folder: Path) -> list[Figure]:
    """Upload a VMDK whose comment names a harmless createType before the true one."""
    with serving(source, folder) as target:
        found = []
        for name, second in (("comment", "createType"), ("capitals in a comment", "CREATETYPE")):
            text = (
                f'# Disk DescriptorFile\n# {second}="monolithicSparse"\nversion=1\nCID=fffffffe\n'
                'parentCID=ffffffff\ncreateType="monolithicFlat"\nRW 20480 FLAT "neighbour" 0\n'
            )
            fields = (b"KDMV", 1, 3, 20480, 128, 1, 20, 512, 21, 26, 128, False, b"\n \r\n", 0)
            header = struct.pack("<4sIIQQQQIQQQ?4sH", *fields).ljust(512, b"\0")
            data = (header + text.encode().ljust(20 * 512, b"\0")).ljust(256 << 10, b"\0")
            made = image(target.admin, disk_format="vmdk")
            status = target.admin.put(f"{made}/file", content=data, headers=BINARY).status_code
            found.append(same(f"VMDK with a second createtype ({name})", str(status), "400,415"))
    return found


def clocks(source: Path, folder: Path) -> list[Figure]:
    """Set the clock an hour ahead in an upload, and a day ahead while somebody mistypes a password."""
    if not FAKETIME:
        return [Figure("upload over a clock that jumps", "no libfaketime", "", "204", True)]
    clock = folder.parent / f"{folder.name}.clock"

    def set_clock(seconds: int) -> None:
        new = clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(clock)

    set_clock(0)
    settings = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    with serving(source, folder, **settings) as target:
        target.member("alice")
        made = image(target.admin)

        def parts() -> Iterator[bytes]:
            for number in range(40):
                if number == 5:
                    set_clock(3600)
                yield bytes(100_000)
                time.sleep(0.2)

        status = target.admin.put(f"{made}/file", content=parts(), headers=BINARY).status_code
        set_clock(86_400)
        for _ in range(12):
            target.log_in("alice", "wrong", "alice")
        set_clock(0)
        waited = target.log_in("alice", PASSWORD, "alice")
        told = int(waited.headers.get("retry-after", "0"))
    return [
        same("upload over a clock that jumps an hour", str(status), "204"),
        most("wait for the next login after mistakes while the clock was a day ahead", told, "s", 3600),
    ]


def small(source: Path, folder: Path) -> list[Figure]:
    """Look at what answers give away, and at a store whose folder is gone."""
    settings = {f"TINTYPE_STORES_{name}_TYPE": "file" for name in ("LOCAL", "SECOND")}
    settings |= {f"TINTYPE_STORES_{name}_FOLDER": name.lower() for name in ("LOCAL", "SECOND")}
    with serving(source, folder, **settings) as target:
        shown = target.admin.get("/v2/images")
        reasons = set()
        for name in ("localhost", "no-such-name.invalid"):
            method = {"name": "web-download", "uri": f"http://{name}/x"}
            answer = target.admin.post(f"{image(target.admin)}/import", json={"method": method})
            reasons.add((answer.status_code, answer.text.replace(name, "").split('"request_id"')[0]))
        made = image(target.admin)
        headers = {**BINARY, "X-Image-Meta-Store": "second"}
        target.admin.put(f"{made}/file", content=bytes(1000), headers=headers)
        second = folder / "second"
        second.rename(folder / "away")
        health = target.admin.get("/healthcheck/detail")
        got = target.admin.get(f"{made}/file").status_code
        cleaned = target.tintype("gc")
        made_anew = second.exists()
        if made_anew:
            shutil.rmtree(second)
        (folder / "away").rename(second)
        nosniff = shown.headers.get("x-content-type-options", "none")
    return [
        same("8: X-Content-Type-Options of /v2/images", nosniff, "nosniff"),
        same("8: refusals tell inside names from unknown ones", str(len(reasons) > 1), "False"),
        same("8: gc makes a missing store folder anew", str(made_anew), "False"),
        same("12: /healthcheck/detail with a store gone", str(health.status_code), "503"),
        same("12: download from a store that is gone", str(got), "503"),
        same("12: gc with a store gone ends with", str(min(1, cleaned.returncode)), "1"),
    ]


def frozen(source: Path, folder: Path) -> list[Figure]:
    """Stop a Keystone; its known callers and strangers go on asking."""
    import keystone

    folder.mkdir()
    (folder / "keystone").mkdir()
    identity = keystone.Keystone(folder / "keystone")
    try:
        settings = {
            "TINTYPE_KEYSTONE_AUTH_URL": identity.url,
            "TINTYPE_KEYSTONE_PASSWORD": keystone.PASSWORD,
            "TINTYPE_KEYSTONE_CACHE_SECONDS": "1",
        }
        more: dict[str, Any] = {"PYTHONPATH": str(source), "TINTYPE_LOG_LEVEL": "error", **settings}
        with processes.started(folder / "data", **more) as server:
            token = identity.log_in("alice", "alpha")
            ask(server.url, token)
            time.sleep(1.5)
            identity.process.send_signal(signal.SIGSTOP)
            try:
                waits = asked_by(server.url, token, clients=12, seconds=12)
            finally:
                identity.process.send_signal(signal.SIGCONT)
            began = time.monotonic()
            fresh = identity.log_in("bob", "beta")
            while ask(server.url, fresh)[0] != 200 and time.monotonic() < began + 30:
                time.sleep(0.1)
            back = time.monotonic() - began
    finally:
        identity.stop()
    p99 = statistics.quantiles(waits, n=100)[-1] if len(waits) > 1 else waits[0]
    return [
        most("p99 of a known token with Keystone frozen, 12 clients", p99 * 1000, "ms", 50),
        most("recovery once it is back", back, "s", 2),
    ]


def ask(url: str, token: str) -> tuple[int, float]:
    """Return the status of a list, and its seconds."""
    began = time.monotonic()
    answer = httpx2.get(f"{url}/v2/images", headers={"X-Auth-Token": token}, timeout=60, trust_env=False)
    return answer.status_code, time.monotonic() - began


def asked_by(url: str, token: str, *, clients: int, seconds: float) -> list[float]:
    """Return how long each request of several clients took."""
    waits: list[float] = []
    until = time.monotonic() + seconds

    def go() -> None:
        with httpx2.Client(
            headers={"X-Auth-Token": token}, timeout=60, trust_env=False, verify=False
        ) as client:
            while time.monotonic() < until:
                began = time.monotonic()
                client.get(f"{url}/v2/images")
                waits.append(time.monotonic() - began)
                time.sleep(0.02)

    threads = [threading.Thread(target=go) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def orphans(source: Path, folder: Path) -> list[Figure]:
    """Delete 120 images in RBD while two nodes sweep, and wait until they have no deletion left to do."""
    import asyncpg

    import ceph
    import postgres

    folder.mkdir()
    cluster = postgres.Cluster()
    try:
        with ceph.started(folder / "ceph") as running:
            settings: dict[str, Any] = {
                "PYTHONPATH": str(source),
                "TINTYPE_LOG_LEVEL": "error",
                "TINTYPE_DATABASE_URL": cluster.url(cluster.create()),
                "TINTYPE_STORES_LOCAL_TYPE": "rbd",
                "TINTYPE_STORES_LOCAL_POOL": ceph.POOL,
                "TINTYPE_STORES_LOCAL_CONF": str(running.conf),
                "TINTYPE_STORES_LOCAL_USER": "admin",
            }
            nodes = [("--workers", "2"), ("--workers", "2")]
            with contextlib.ExitStack() as running_nodes:
                first = running_nodes.enter_context(processes.started(folder / "a", *nodes[0], **settings))
                (folder / "b").mkdir(mode=0o700)
                shutil.copy(
                    folder / "a" / "clouds.yaml", folder / "b"
                )  # of the node that made the first user
                second = running_nodes.enter_context(processes.started(folder / "b", *nodes[1], **settings))
                target = Target(first, source)
                made = [image(target.admin) for _ in range(120)]
                for path in made:
                    target.admin.put(f"{path}/file", content=bytes(3 * MIB), headers=BINARY)
                for path in made:
                    target.admin.delete(path)
                url = settings["TINTYPE_DATABASE_URL"]
                for _ in range(60):
                    if asyncio.run(blobs_in(asyncpg, url)) == 0:
                        break
                    time.sleep(1)
                left = len(json.loads(running.run("rbd", "ls", ceph.POOL, "--format", "json")))
                for server in (first, second):  # older ones do not stop while they cannot delete
                    kill_all(server.process.pid)
    finally:
        cluster.close()
    return [most("images in the pool without a row after 120 deletes by two nodes", left, "", 1)]


def kill_all(pid: int) -> None:
    """Kill a process and its children."""
    process = psutil.Process(pid)
    for each in (*process.children(recursive=True), process):
        each.kill()


async def blobs_in(asyncpg: Any, url: str) -> int:
    """Return how many blobs have a row."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM blobs"))
    finally:
        await connection.close()


def restarted(source: Path, folder: Path) -> list[Figure]:
    """Download 60 MiB from a bucket whose gateway restarts within a second, after 44 MiB."""
    import ceph
    import restarting

    folder.mkdir()
    data = random.Random(13).randbytes(60 * MIB)
    with (
        ceph.started(folder / "ceph") as running,
        restarting.restarting(running.endpoint, after=44 * MIB, seconds=1.0) as gateway,
    ):
        settings: dict[str, Any] = {
            "PYTHONPATH": str(source),
            "TINTYPE_LOG_LEVEL": "error",
            "TINTYPE_STORES_LOCAL_TYPE": "s3",
            "TINTYPE_STORES_LOCAL_ENDPOINT": gateway.url,
            "TINTYPE_STORES_LOCAL_BUCKET": ceph.BUCKET,
            "TINTYPE_STORES_LOCAL_ACCESS_KEY": ceph.KEY,
            "TINTYPE_STORES_LOCAL_SECRET_KEY": ceph.SECRET,
        }
        make_bucket(running.endpoint)
        with processes.started(folder / "data", **settings) as server:
            target = Target(server, source)
            path = image(target.admin)
            assert target.admin.put(f"{path}/file", content=data, headers=BINARY).status_code == 204
            got = bytearray()
            with (
                contextlib.suppress(httpx2.TransportError),
                target.admin.stream("GET", f"{path}/file") as answer,
            ):
                for piece in answer.iter_bytes():
                    got += piece
    return [same("MiB that arrive of 60 when the gateway restarts", str(len(got) // MIB), "60")]


def make_bucket(endpoint: str) -> None:
    """Create the bucket of the tests' Ceph."""
    import botocore.session

    import ceph

    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ceph.KEY,
        aws_secret_access_key=ceph.SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=ceph.BUCKET)


ATTACKS: dict[str, tuple[str, Callable[[Path, Path], list[Figure]]]] = {
    "logins": ("1", logins),
    "imports": ("2", imports),
    "downloads": ("3", downloads),
    "lists": ("4", lists),
    "forms": ("5", forms),
    "vmdk": ("6", vmdk),
    "clocks": ("7", clocks),
    "small": ("8", small),
}
WITH_SERVERS: dict[str, dict[str, tuple[str, Callable[[Path, Path], list[Figure]]]]] = {
    "keystone": {"frozen": ("10", frozen)},
    "ceph": {"orphans": ("9", orphans), "restarted": ("13", restarted)},
}


def sources(commit: str, scratch: Path) -> dict[str, Path]:
    """Return the source of a commit, unpacked, and that of this tree."""
    old = scratch / "before"
    old.mkdir()
    packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", old], input=packed.stdout, check=True)
    return {"before": old / "src", "after": ROOT / "src"}


def rows(number: str, found: dict[str, list[Figure]]) -> list[str]:
    """Return the lines of one attack."""
    lines = []
    names = dict.fromkeys(each.name for side in found.values() for each in side)
    for place, name in enumerate(names):
        cells = {
            side: figures[place].shown() if place < len(figures) else "failed"
            for side, figures in found.items()
        }
        now = found["after"][place] if place < len(found["after"]) else None
        wanted, holds = (now.wanted, "yes" if now.holds else "**no**") if now is not None else ("", "**no**")
        at, bare = re.fullmatch(r"(?:(\d+): )?(.*)", name).groups()  # type: ignore[union-attr]
        lines.append(
            f"| {at or number} | {bare} | {cells['before']} | {cells['after']} | {wanted} | {holds} |"
        )
    return lines


def main() -> int:
    """Run each attack against both trees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", help="a commit to compare with")
    parser.add_argument("--only", default="", help="attacks by name, with commas between")
    parser.add_argument("--servers", default="", help="keystone, ceph: run the attacks that need them, too")
    options = parser.parse_args()
    attacks = dict(ATTACKS)
    for name in filter(None, options.servers.split(",")):
        attacks |= WITH_SERVERS[name]
    if options.only:
        attacks = {name: attacks[name] for name in options.only.split(",")}
    lines = [HEAD]
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="tintype-attacks-") as name:
        scratch = Path(name)
        trees = sources(options.before, scratch)
        for attack, (number, measure) in attacks.items():
            found: dict[str, list[Figure]] = {}
            for side, source in trees.items():
                try:
                    found[side] = measure(source, scratch / f"{attack}-{side}")
                except (AssertionError, OSError, httpx2.HTTPError, subprocess.SubprocessError) as error:
                    print(f"{attack} {side}: {error!r}", file=sys.stderr, flush=True)
                    found[side] = []
            made = rows(number, found) or [f"| {number} | {attack} | failed | failed | | **no** |"]
            print("\n".join(made), flush=True)
            lines += made
    cores = f"{os.cpu_count()} cores, before: {options.before}"
    text = "\n".join([f"Measured {datetime.now(UTC):%Y-%m-%d}, {cores}.", "", *lines]) + "\n"
    if not options.only:
        folder = ROOT / "benchmarks" / "results"
        (folder / f"{datetime.now(UTC):%Y-%m-%d}-attacks.md").write_text(text)
    return int("**no**" in text)


if __name__ == "__main__":
    sys.exit(main())
