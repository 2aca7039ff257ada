"""kill -9 at any moment of any mixture of uploads, stages, resumable uploads and deletions loses nothing.

CRASH_ROUNDS=500 makes it a long run, with slow readers and floods of logins and lists beside the kills;
CRASH_SEED repeats one.
"""

import abc
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from postgres import Cluster
from processes import Server, started

SHORT = 8
ROUNDS = int(os.environ.get("CRASH_ROUNDS", str(SHORT)))
SEED = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1 << 32)
CLIENTS = 3
LARGEST = 6 << 20
BINARY = {"Content-Type": "application/octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}

pytestmark = [pytest.mark.e2e, pytest.mark.needs("time"), pytest.mark.timeout(300 + ROUNDS * 30)]


@dataclasses.dataclass
class Known:
    """What the server has acknowledged, so that it must hold after any crash."""

    active: dict[str, str] = dataclasses.field(default_factory=dict)
    """Images by id, with the sha512 of their bytes."""
    deleted: set[str] = dataclasses.field(default_factory=set)
    uploads: dict[str, tuple[str, bytes, int]] = dataclasses.field(default_factory=dict)
    """Unfinished resumable uploads by path: image, bytes, and an offset that was promised."""


class Tables:
    """What the database says, whichever it is."""

    def __init__(self, folder: Path, cluster: Cluster | None) -> None:
        self._file, self._cluster = folder / "tintype.db", cluster
        self._name = cluster.create() if cluster is not None else ""
        self.environment: dict[str, Any] = (
            {"TINTYPE_DATABASE_URL": cluster.url(self._name)} if cluster is not None else {}
        )

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if self._cluster is not None:
            columns, _, rest = statement.partition(" FROM ")
            query = f"SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {rest}"
            return [tuple(row) for row in json.loads(self._cluster.sql(query, self._name))]
        with contextlib.closing(sqlite3.connect(self._file)) as database:
            return database.execute(f"SELECT {statement}").fetchall()

    def let_leases_pass(self) -> None:
        """Do in no time what takes a minute where other hosts may be alive."""
        if self._cluster is not None:
            for change in (
                "blobs SET lease_expires_at = 0 WHERE state IN ('writing', 'condemned')",
                "uploads SET held_until = 0",
            ):
                self.change(change)

    def change(self, change: str) -> None:
        if self._cluster is not None:
            self._cluster.sql(f"UPDATE {change}", self._name)
            return
        with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as database:
            database.execute(f"UPDATE {change}")
            database.commit()


def noise(chance: random.Random, size: int) -> bytes:
    """Give random bytes that are no disk: two of them, in one of 65,536, would mark a boot record."""
    data = chance.randbytes(size)
    return data[:510] + bytes(len(data[510:512])) + data[512:]


class RandomClient(threading.Thread, abc.ABC):
    """One client that does at random what clients do, until the server is gone."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.failure: BaseException | None = None
        self._random = random.Random(seed)
        self._http = httpx2.Client(base_url=url, headers={"X-Auth-Token": token}, timeout=20, trust_env=False)

    @abc.abstractmethod
    def acts(self) -> Sequence[Callable[[], None]]:
        """Give what it does; each as likely as the others."""

    def run(self) -> None:
        try:
            while True:
                self._random.choice(self.acts())()
        except httpx2.TransportError:
            return
        except BaseException as failure:  # noqa: BLE001 (the test raises it)
            self.failure = failure
        finally:
            self._http.close()

    def _image(self) -> str:
        body = {"disk_format": "raw", "container_format": "bare"}
        answer = self._http.post("/v2/images", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


class Client(RandomClient):
    """One that sends bytes in every way there is."""

    def __init__(self, url: str, token: str, seed: int, known: Known) -> None:
        super().__init__(url, token, seed)
        self._known = known

    def acts(self) -> Sequence[Callable[[], None]]:
        return (self.upload, self.upload, self.stage, self.resumable, self.resumable, self.go_on, self.delete)

    def upload(self) -> None:
        image, data = self._image(), self._data()
        answer = self._http.put(f"/v2/images/{image}/file", content=self._chunks(data), headers=BINARY)
        assert answer.status_code == 204, answer.text
        self._known.active[image] = hashlib.sha512(data).hexdigest()

    def stage(self) -> None:
        image = self._image()
        answer = self._http.put(
            f"/v2/images/{image}/stage", content=self._chunks(self._data()), headers=BINARY
        )
        assert answer.status_code == 204, answer.text

    def resumable(self) -> None:
        image, data = self._image(), self._data() or b"x"
        headers = {**TUS, "Upload-Length": str(len(data))}
        answer = self._http.post(f"/v2/images/{image}/uploads", headers=headers)
        assert answer.status_code == 201, answer.text
        path = answer.headers["location"].removeprefix(str(self._http.base_url).rstrip("/"))
        self._known.uploads[path] = (image, data, 0)
        self._pieces(path)

    def go_on(self) -> None:
        if self._known.uploads:
            self._pieces(self._random.choice(list(self._known.uploads)))

    def delete(self) -> None:
        if self._known.active:
            image = self._random.choice(list(self._known.active))
            digest = self._known.active.pop(image, None)
            answer = self._http.delete(f"/v2/images/{image}")
            assert answer.status_code in {204, 404}, answer.text
            if digest is not None:
                self._known.deleted.add(image)

    def _pieces(self, path: str) -> None:
        """Send a few pieces of an upload, and often leave it there."""
        image, data, promised = self._known.uploads.get(path, ("", b"", 0))
        answer = self._http.head(path, headers=TUS)
        if answer.status_code in {404, 410, 423}:  # another client was faster
            return
        offset = int(answer.headers["upload-offset"])
        assert offset >= promised, f"{offset} of {path} after {promised} was promised"
        if offset == len(data):  # another client was faster, and perhaps a third one deletes it now
            return
        while offset < len(data):
            piece = data[offset : offset + self._random.randrange(1, len(data) + 1)]
            headers = {**PIECE, "Upload-Offset": str(offset)}
            answer = self._http.patch(path, headers=headers, content=self._chunks(piece))
            if answer.status_code in {404, 409, 410, 423}:
                return
            assert answer.status_code == 204, answer.text
            offset = int(answer.headers["upload-offset"])
            if offset < len(data):
                self._known.uploads[path] = (image, data, offset)
            if self._random.random() < 0.3:
                return
        self._known.uploads.pop(path, None)
        self._known.active[image] = hashlib.sha512(data).hexdigest()

    def _data(self) -> bytes:
        return noise(self._random, self._random.choice([0, 1, 5000, 300_000, LARGEST]))

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        step = self._random.choice([10_000, 1 << 20, LARGEST])
        for start in range(0, len(data), step):
            if self._random.random() < 0.05:
                time.sleep(0.01)
            yield data[start : start + step]


@pytest.mark.parametrize(
    ("kind", "workers"), [("sqlite", 1), pytest.param("postgresql", 2, marks=pytest.mark.needs("postgresql"))]
)
def test_nothing_is_lost_stuck_or_left_behind(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, workers: int
) -> None:
    """After each kill and restart: active images have their bytes, none is stuck, the disk holds no more."""
    chance = random.Random(SEED)
    print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}")
    known, folder = Known(), tmp_path / "data"
    tables = Tables(folder, request.getfixturevalue("cluster") if kind == "postgresql" else None)
    options = ("--workers", str(workers))
    kills = 0
    for number in range(ROUNDS):
        if number % 50 == 49:
            print(f"{number} kills, {len(known.active)} images active", flush=True)
        with started(folder, *options, **tables.environment) as server:
            token = server.log_in()
            check(server, tables, known, token)
            trim(server, known, token)
            with at_work(crowd(server.url, token, chance, known, disturbed=ROUNDS > SHORT)):
                time.sleep(chance.uniform(0.02, 0.8))
                kill(server)
            kills += 1
        tables.let_leases_pass()
    with started(folder, *options, **tables.environment) as server:
        check(server, tables, known, server.log_in())
    print(f"{kills} kills, {len(known.active)} images active, {len(known.uploads)} uploads unfinished")


def crowd(
    url: str, token: str, chance: random.Random, known: Known, *, disturbed: bool
) -> list[RandomClient]:
    """Return the clients of one round; in a long run slow readers and floods disturb them."""
    from disturbers import Flood, SlowReader  # which imports this module

    clients: list[RandomClient] = [
        Client(url, token, chance.randrange(1 << 32), known) for _ in range(CLIENTS)
    ]
    if disturbed:
        clients += (SlowReader(url, token, chance.randrange(1 << 32), known) for _ in range(6))
        clients += (Flood(url, token, chance.randrange(1 << 32)) for _ in range(2))
    return clients


@contextlib.contextmanager
def at_work(clients: Sequence[RandomClient]) -> Iterator[None]:
    """Have clients work while the block runs; wait until all have ended, and raise what one of them found."""
    for client in clients:
        client.start()
    yield
    for client in clients:
        client.join(60)
        assert not client.is_alive()
        if client.failure is not None:
            raise client.failure


def kill(server: Server) -> None:
    """End the server and its workers at once."""
    parent = psutil.Process(server.process.pid)
    for process in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    server.process.wait(30)


def trim(server: Server, known: Known, token: str) -> None:
    """Keep few images, so that a long run checks as quickly at its end as at its beginning."""
    headers = {"X-Auth-Token": token}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=20, trust_env=False) as http:
        images = [image["id"] for image in http.get("/v2/images?limit=1000").json()["images"]]
        for image in images[15:]:
            known.active.pop(image, None)
            for path in [path for path in known.uploads if image in path]:
                del known.uploads[path]
            assert http.delete(f"/v2/images/{image}").status_code == 204
            known.deleted.add(image)


def check(server: Server, tables: Tables, known: Known, token: str) -> None:
    """Hold database, disk and answers against each other and against what was acknowledged."""
    deadline = time.monotonic() + 20
    while tables.rows("id FROM blobs WHERE state IN ('writing', 'condemned')"):
        assert time.monotonic() < deadline, "the sweep does not end"
        time.sleep(0.05)
    images = dict(tables.rows("id, status FROM images"))
    assert set(images.values()) <= {"queued", "active", "uploading"}, "an image is stuck"
    blobs = tables.rows("id, image_id, state, digests FROM blobs")
    uploads = dict(tables.rows('id, "offset" FROM uploads WHERE "offset" < length'))
    files = {path.name: path for path in (server.folder / "images").glob("*/*") if path.is_file()}
    complete = {
        image: json.loads(digests) for _, image, state, digests in blobs if state in {"ready", "staged"}
    }
    assert set(complete) == {image for image, status in images.items() if status != "queued"}
    for blob, image, state, _ in blobs:
        if state != "partial":
            assert hashlib.sha512(files[blob].read_bytes()).hexdigest() == complete[image]["os_hash_value"]
        elif uploads[blob]:
            assert files[blob].stat().st_size >= uploads[blob], "less is there than was noted"
    unknown = set(files) - {blob for blob, *_ in blobs}
    assert not unknown, f"the disk holds what nobody knows of: {unknown}"
    assert server.run("tintype", "gc", "--dry-run", **tables.environment).stdout.split("\n")[1:] == [""]
    headers = {"X-Auth-Token": token}
    for image, digest in list(known.active.items()):
        assert complete[image]["os_hash_value"] == digest, "an acknowledged upload is gone"
    for image in random.sample(sorted(known.active), min(3, len(known.active))):
        answer = httpx2.get(f"{server.url}/v2/images/{image}/file", headers=headers, timeout=20)
        assert hashlib.sha512(answer.content).hexdigest() == known.active[image]
    assert not known.deleted & set(images), "an acknowledged deletion is undone"
