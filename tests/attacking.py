"""Send hostile requests to a real server and check its responses.

`tests/e2e/test_hostile.py` sends a few thousand, `benchmarks/fuzz.py` a million.
"""

import collections
import contextlib
import dataclasses
import hashlib
import hmac
import json
import random
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import psutil

from hostile import Caller, Generator, Message, routes
from postgres import Cluster
from processes import Server, started

CONNECTIONS: Final = 8
PIPELINED: Final = 6
SECONDS: Final = 60
KEPT_FAULTS: Final = 30
MIB: Final = 1 << 20
SETTINGS: Final = {
    "TINTYPE_QUOTAS_IMAGE_COUNT_TOTAL": "120",
    "TINTYPE_JOBS_TASK_LIFETIME": "30",
    "TINTYPE_IMAGES_UPLOAD_LIFETIME": "60",
    "TINTYPE_CACHE_FOLDER": "cache",
    "TINTYPE_CACHE_LIMIT": str(64 * MIB),
    "TINTYPE_LOCATIONS_SHOW_MULTIPLE": "true",
    "TINTYPE_LOG_STYLE": "json",
    **{f"TINTYPE_STORES_{name}_TYPE": "file" for name in ("LOCAL", "SECOND")},
    **{f"TINTYPE_STORES_{name}_FOLDER": name.lower() for name in ("LOCAL", "SECOND")},
}
"""What keeps a long run small, and what opens more of the routes."""


class Dropped(Exception):
    """The server closed the connection before it responded."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The response to one request."""

    status: int
    head: bytes
    body: bytes

    @property
    def is_stream(self) -> bool:
        """Return whether the response is endless."""
        return b"\r\ncontent-type: text/event-stream" in self.head

    @property
    def closes(self) -> bool:
        """Return whether the server announced that it closes the connection."""
        return b"\r\nconnection: close" in self.head


class Connection:
    """One connection and the responses on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def answer(self, *, is_head: bool) -> Answer:
        """Return the next final response; raise Dropped if there is none."""
        while True:
            while (end := self._buffer.find(b"\r\n\r\n")) < 0:
                self._more()
            head, self._buffer = self._buffer[:end].lower(), self._buffer[end + 4 :]
            status = int(head[9:12])
            if status >= 200:
                break
        if is_head or status in {204, 304} or b"\r\ncontent-type: text/event-stream" in head:
            return Answer(status, head, b"")
        if b"\r\ntransfer-encoding: chunked" in head:
            return Answer(status, head, self._chunks())
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        assert length is not None, head
        return Answer(status, head, self._exactly(int(length[1])))

    def rest(self) -> bytes:
        """Return all bytes until the server closes the connection."""
        with contextlib.suppress(Dropped):
            while True:
                self._more()
        return self._buffer

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            while b"\r\n" not in self._buffer:
                self._more()
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            part = self._exactly(int(line, 16) + 2)
            if len(part) == 2:
                return b"".join(parts)
            parts.append(part[:-2])

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def _more(self) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError as error:
            raise Dropped(str(error)) from None
        if not data:
            raise Dropped("the connection was closed")
        self._buffer += data


class Run:
    """Sends hostile requests on several connections, counts responses and collects findings."""

    def __init__(self, port: int, generator: Generator) -> None:
        self._port, self._generator = port, generator
        self._connections = [Connection(port) for _ in range(CONNECTIONS)]
        self.sent = 0
        self.broken = 0
        self.statuses: collections.Counter[int] = collections.Counter()
        self.faults: list[str] = []

    def go(self, count: int, each_thousand: Callable[[], None] = lambda: None) -> None:
        """Send this many more requests."""
        until, told = self.sent + count, self.sent
        while self.sent < until and len(self.faults) < KEPT_FAULTS:
            batches = [self._send(number, until) for number in range(CONNECTIONS)]
            for number, batch in enumerate(batches):
                self._read(number, batch)
            if self.sent - told >= 1000:
                told = self.sent
                each_thousand()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _send(self, number: int, until: int) -> list[Message]:
        random = self._generator.random
        most = max(1, min(PIPELINED, until - self.sent))
        batch = [self._generator.plain() for _ in range(random.randrange(most))]
        batch.append(self._generator.broken() if random.random() < 0.25 else self._generator.plain())
        self.sent += len(batch)
        data = b"".join(message.data for message in batch)
        with contextlib.suppress(ConnectionError):  # reading tells whether it has answered
            self._connections[number].socket.sendall(data)
        return batch

    def _read(self, number: int, batch: list[Message]) -> None:
        connection = self._connections[number]
        for message in batch:
            try:
                if message.is_broken_off:
                    connection.socket.shutdown(socket.SHUT_WR)
                answer = connection.answer(is_head=message.is_head)
            except (Dropped, OSError) as error:
                if not message.is_broken_off:
                    self._fault(message, f"no answer: {error!r}")
                self._anew(number)
                return
            self.statuses[answer.status] += 1
            self._judge(message, answer)
            if answer.is_stream or not message.keeps:
                break
            if answer.closes:
                if message is not batch[-1]:
                    self._fault(message, f"{answer.status}, and closed: {answer.body[:300]!r}")
                break
        else:
            return
        self._anew(number)

    def _judge(self, message: Message, answer: Answer) -> None:
        """Record 5xx responses other than 503 with a reason, and errors without a message."""
        status = answer.status
        if status == 201 or (status == 200 and b"POST" in message.data[:5]):
            self._generator.note(message.data, answer.body)
            if location := re.search(
                rb"\r\nlocation: \S*?/images/([0-9a-f-]{36})/uploads/([0-9a-f-]{36})", answer.head
            ):
                self._generator.uploads.append((location[1].decode(), location[2].decode()))
        if not message.keeps:
            self.broken += 1
        if b"x-openstack-request-id: req-" not in answer.head:
            self._fault(message, f"{status} without an id")
        if status >= 400 and not message.is_head and not _sentence(answer):
            self._fault(message, f"{status} without a reason: {answer.body[:300]!r}")
        if status >= 500 and not (status == 503 or (status == 501 and message.has_coding)):
            self._fault(message, f"{status}: {answer.body[:300]!r}")

    def _anew(self, number: int) -> None:
        self._connections[number].close()
        self._connections[number] = Connection(self._port)

    def _fault(self, message: Message, what: str) -> None:
        self.faults.append(f"request {self.sent}: {what}\n    {message.data[:1500]!r}")


def _sentence(answer: Answer) -> bool:
    """Return whether an error response contains a message."""
    if b"\r\ncontent-type: application/json" not in answer.head:
        return len(answer.body) > 10
    said = json.loads(answer.body)
    if isinstance(said, str):
        return bool(said)
    return "error" not in said or bool(said["error"]["message"])


class Target:
    """A server with users of three projects, and data that no attacker may access."""

    def __init__(self, server: Server, signing_key: str) -> None:
        self.server = server
        self.port = int(server.url.rsplit(":", 1)[1])
        self._http = httpx2.Client(base_url=server.url, timeout=SECONDS, trust_env=False)
        self._headers = {"X-Auth-Token": server.log_in()}
        self.projects = {
            name: self._made("projects", "project", name) for name in ("alpha", "beta", "untouched")
        }
        people = {
            "alice": ("alpha", "member"),
            "carol": ("alpha", "reader"),
            "bob": ("beta", "member"),
            "dora": ("untouched", "member"),
        }
        roles = {role["name"]: role["id"] for role in self._identity("GET", "roles").json()["roles"]}
        tokens = {}
        for name, (project, role) in people.items():
            user = self._made("users", "user", name)
            self._identity("PUT", f"projects/{self.projects[project]}/users/{user}/roles/{roles[role]}")
            tokens[name] = self._log_in(name, project)
        self._dora = {"X-Auth-Token": tokens.pop("dora")}
        claims = jwt.decode(tokens["alice"], options={"verify_signature": False})
        expired = jwt.encode(claims | {"exp": int(time.time()) - 60}, signing_key, algorithm="HS256")
        tokens |= {"admin": self._headers["X-Auth-Token"], "unscoped": self._log_in("alice", None)}
        tokens |= {"wrong": tokens["alice"][:-9] + "wrongwron", "expired": expired}
        self.callers = [Caller("nobody", b"", b""), *(_caller(*pair) for pair in tokens.items())]
        self._keep()

    def _log_in(self, name: str, project: str | None) -> str:
        domain = {"id": "default"}
        user = {"name": name, "domain": domain, "password": "secret-of-a-test"}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if project is not None:
            auth["scope"] = {"project": {"name": project, "domain": domain}}
        answer = self._http.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])

    def _identity(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self._http.request(method, f"/identity/v3/{path}", headers=self._headers, **options)
        assert answer.status_code < 300, answer.text
        return answer

    def _made(self, path: str, noun: str, name: str) -> str:
        body = {noun: {"name": name, **({"password": "secret-of-a-test"} if noun == "user" else {})}}
        return str(self._identity("POST", path, json=body).json()[noun]["id"])

    def _keep(self) -> None:
        """Create what must not change: images with data, tags and members, and a definition."""
        self.kept: dict[str, bytes] = {}
        for number in range(3):
            body = {
                "name": f"kept {number}",
                "disk_format": "raw",
                "container_format": "bare",
                "protected": True,
                "tags": ["kept"],
                "visibility": "shared",
                "colour": "blue",
            }
            made = self._http.post("/v2/images", headers=self._dora, json=body)
            image, data = f"/v2/images/{made.json()['id']}", random.Random(number).randbytes(200_000)
            data = data[:510] + b"\0\0" + data[512:]
            put = {**self._dora, "Content-Type": "application/octet-stream"}
            assert self._http.put(f"{image}/file", headers=put, content=data).status_code == 204
            assert (
                self._http.post(
                    f"{image}/members", headers=self._dora, json={"member": "somebody"}
                ).status_code
                == 200
            )
            self.kept[image] = data
        space = {
            "namespace": "kept-namespace",
            "visibility": "private",
            "properties": {"p": {"title": "P", "type": "string"}},
        }
        answer = self._http.post("/v2/metadefs/namespaces", headers=self._headers, json=space)
        assert answer.status_code == 201, answer.text
        self._shown = self._show()

    def _show(self) -> list[Any]:
        paths = [
            "/v2/metadefs/namespaces/kept-namespace",
            *self.kept,
            *(f"{image}/members" for image in self.kept),
        ]
        paths.append("/v2/images?owner=" + self.projects["untouched"])
        return [
            self._http.get(path, headers=self._headers if "metadefs" in path else self._dora).json()
            for path in paths
        ]

    def check(self) -> None:
        """Check that the service works and that the protected data is unchanged."""
        assert self._http.get("/healthcheck").status_code == 200
        detail = self._http.get("/healthcheck/detail", headers=self._headers)
        assert detail.status_code == 200, detail.text
        assert self._show() == self._shown
        for image, data in self.kept.items():
            got = self._http.get(f"{image}/file", headers=self._dora).content
            assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
        assert self._log_in("alice", "alpha")

    def close(self) -> None:
        """Close its own connections."""
        self._http.close()

    def memory(self) -> int:
        """Return the resident memory of the server and its workers in bytes."""
        parent = psutil.Process(self.server.process.pid)
        total = 0
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


def _caller(name: str, token: str) -> Caller:
    csrf = hmac.digest(token.encode(), b"tintype: a page of ours sends this", "sha256").hex()
    cookies = f"Cookie: tintype_session={token}; csrftoken={csrf}\r\n"
    page = f"{cookies}X-CSRFToken: {csrf}\r\nX-Requested-With: XMLHttpRequest\r\n"
    return Caller(name, f"X-Auth-Token: {token}\r\n".encode(), page.encode())


@contextlib.contextmanager
def attacked(
    folder: Path, cluster: Cluster | None, workers: int, seed: int, **more: str
) -> Iterator[tuple[Target, Run]]:
    """Start a server; yield it as a target, and the run that attacks it."""
    environment: dict[str, Any] = {**SETTINGS, **more}
    name = ""
    if cluster is not None:
        name = cluster.create()
        environment["TINTYPE_DATABASE_URL"] = cluster.url(name)
    with started(folder, "--workers", str(workers), **environment) as server:
        target = Target(server, _signing_key(folder, cluster, name))
        generator = Generator(seed, routes(), target.callers)
        generator.projects += [target.projects["alpha"], target.projects["beta"], "x"]
        run = Run(target.port, generator)
        try:
            yield target, run
        finally:
            run.close()
            target.close()


def _signing_key(folder: Path, cluster: Cluster | None, name: str) -> str:
    statement = "SELECT value FROM secrets WHERE name = 'token signing key'"
    if cluster is not None:
        return cluster.sql(statement, name)
    with contextlib.closing(sqlite3.connect(folder / "tintype.db")) as database:
        return str(database.execute(statement).fetchone()[0])


def failures_in_log(path: Path) -> list[str]:
    """Return the lines of a log that report unexpected errors."""
    with path.open(errors="replace") as lines:
        return [
            line[:3000]
            for line in lines
            if "Traceback" in line or '"exception"' in line or '"level":"critical"' in line
        ][:KEPT_FAULTS]
