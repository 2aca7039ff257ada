"""kill -9 of servers and workers, and stores that go away, in the middle of imports and copies.

Each import ends: with an active image, or with a queued one that says why. No bytes are left that
nobody knows of, and none are missing. CRASH_ROUNDS and CRASH_SEED are those of test_crashes.
"""

import contextlib
import dataclasses
import hashlib
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from test_crashes import BINARY, SEED, RandomClient, Tables, at_work, kill, noise
from test_crashes import ROUNDS as OF_UPLOADS

import web
from processes import BIN, Server, started

STORES = ("local", "near", "other")
SIZES = (0, 1, 70_000, 3 << 20, 9 << 20)
ROUNDS = max(2, OF_UPLOADS // 2)
"""Each has some forty imports, which are to end."""
CLIENTS = 6
pytestmark = [pytest.mark.e2e, pytest.mark.needs("time"), pytest.mark.timeout(300 + ROUNDS * 40)]


@dataclasses.dataclass
class Imported:
    """What was acknowledged: images whose import was taken, with the digest that they shall have."""

    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    deleted: set[str] = dataclasses.field(default_factory=set)
    taken: int = 0


def data_of(seed: int) -> bytes:
    return noise(random.Random(seed), SIZES[seed % len(SIZES)])


def give(request: web.Request) -> None:
    """Give the bytes of a number, in parts, now and then broken off."""
    seed = int(request.path.rpartition("/")[2])
    data = data_of(seed)
    chance = random.random()
    request.ranged(data, until=int(len(data) * chance * 2) if chance < 0.1 and data else None)


class Client(RandomClient):
    """One client that imports, copies, cancels and deletes."""

    def __init__(self, url: str, token: str, source: str, seed: int, known: Imported) -> None:
        super().__init__(url, token, seed)
        self._known = known
        self._source = source

    def acts(self) -> Sequence[Callable[[], None]]:
        return (
            *(self.download, self.download, self.staged, self.staged),
            *(self.copy, self.cancel, self.delete),
        )

    def download(self) -> None:
        seed = self._random.randrange(1 << 30)
        self._begin(self._image(), seed, {"name": "web-download", "uri": f"{self._source}/{seed}"})

    def staged(self) -> None:
        image, seed = self._image(), self._random.randrange(1 << 30)
        answer = self._http.put(f"/v2/images/{image}/stage", content=data_of(seed), headers=BINARY)
        assert answer.status_code in {204, 503}, answer.text  # a store that is away
        if answer.status_code == 204:
            self._begin(image, seed, {"name": "glance-direct"})

    def copy(self) -> None:
        if self._known.digests:
            image = self._random.choice(list(self._known.digests))
            body = {"method": {"name": "copy-image"}, "all_stores": True, "all_stores_must_succeed": False}
            answer = self._http.post(f"/v2/images/{image}/import", json=body)
            assert answer.status_code in {202, 404, 409}, answer.text
            self._known.taken += answer.status_code == 202

    def cancel(self) -> None:
        if self._known.digests:
            image = self._http.get(f"/v2/images/{self._random.choice(list(self._known.digests))}")
            task = image.json().get("os_glance_import_task") if image.status_code == 200 else None
            if task:
                answer = self._http.post(f"/v2/tasks/{task}/actions/cancel")
                assert answer.status_code in {202, 404, 409}, answer.text

    def delete(self) -> None:
        if len(self._known.digests) > 10:
            image = self._random.choice(list(self._known.digests))
            digest = self._known.digests.pop(image, None)
            answer = self._http.delete(f"/v2/images/{image}")
            assert answer.status_code in {204, 404}, answer.text
            if digest is not None:
                self._known.deleted.add(image)

    def _begin(self, image: str, seed: int, method: dict[str, str]) -> None:
        stores = self._random.sample(STORES, self._random.randrange(1, 4))
        must = self._random.random() < 0.5
        body = {"method": method, "stores": stores, "all_stores_must_succeed": must}
        answer = self._http.post(f"/v2/images/{image}/import", json=body)
        assert answer.status_code in {202, 404, 409}, answer.text
        if answer.status_code == 202:
            self._known.digests[image] = hashlib.sha512(data_of(seed)).hexdigest()
            self._known.taken += 1


@contextlib.contextmanager
def worker(folder: Path, environment: dict[str, Any]) -> Iterator[None]:
    """Run a process that only works, and kill it at the end."""
    with (folder.parent / "worker.log").open("a") as log:
        process = subprocess.Popen(
            [BIN / "tintype", "worker", "--data-dir", folder], stdout=log, stderr=log, env=environment
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("kind", "workers"), [("sqlite", 1), pytest.param("postgresql", 2, marks=pytest.mark.needs("postgresql"))]
)
def test_every_import_ends(tmp_path: Path, request: pytest.FixtureRequest, kind: str, workers: int) -> None:
    """After each kill and restart all jobs end; images and stores are as they say."""
    chance = random.Random(SEED)
    print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}")
    known, folder = Imported(), tmp_path / "data"
    tables = Tables(folder, request.getfixturevalue("cluster") if kind == "postgresql" else None)
    with web.serving(give) as source:
        environment: dict[str, Any] = {
            **tables.environment,
            "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TINTYPE_IMPORTS_PORTS": str(source.server_port),
            **{f"TINTYPE_STORES_{name.upper()}_TYPE": "file" for name in STORES},
            **{f"TINTYPE_STORES_{name.upper()}_FOLDER": name for name in STORES},
        }
        for number in range(ROUNDS):
            if number % 50 == 49:
                print(f"{number} kills, {known.taken} imports and copies", flush=True)
            with contextlib.ExitStack() as stack:
                server = stack.enter_context(started(folder, "--workers", str(workers), **environment))
                check(server, tables, known)
                trim(server, known)
                if kind == "postgresql":
                    stack.enter_context(worker(folder, {"PATH": str(BIN), **environment}))
                clients = [
                    Client(server.url, server.log_in(), source.url, chance.randrange(1 << 32), known)
                    for _ in range(CLIENTS)
                ]
                gone = away(folder / chance.choice(STORES[1:]), chance.random() < 0.3)
                with at_work(clients), gone:
                    time.sleep(chance.uniform(0.1, 1.2))
                    kill(server)
            let_leases_pass(tables)
        with started(folder, **environment) as server:
            check(server, tables, known)
    print(f"{ROUNDS} kills, {known.taken} imports and copies taken")
    assert known.taken >= ROUNDS


@contextlib.contextmanager
def away(folder: Path, really: bool) -> Iterator[None]:
    """Have a store lose its folder for a while, as when a share is not mounted."""
    if really and folder.exists():
        time.sleep(0.1)
        folder.rename(folder.with_suffix(".away"))
    yield
    if folder.with_suffix(".away").exists():
        folder.with_suffix(".away").rename(folder)


def let_leases_pass(tables: Tables) -> None:
    tables.let_leases_pass()
    tables.change("jobs SET held_until = 0, not_before = 0")


def trim(server: Server, known: Imported) -> None:
    """Keep few images."""
    headers = {"X-Auth-Token": server.log_in()}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=20, trust_env=False) as http:
        for image in [each["id"] for each in http.get("/v2/images?limit=1000").json()["images"]][15:]:
            known.digests.pop(image, None)
            assert http.delete(f"/v2/images/{image}").status_code == 204
            known.deleted.add(image)


def check(server: Server, tables: Tables, known: Imported) -> None:
    """Hold jobs, images, blobs and files against each other and against what was acknowledged."""
    deadline = time.monotonic() + 60
    while tables.rows("id FROM jobs WHERE state IN ('pending', 'processing')"):
        tables.change("jobs SET not_before = 0")  # who waits for a store to come back waits no longer
        assert time.monotonic() < deadline, "a job does not end"
        time.sleep(0.1)
    while tables.rows("id FROM blobs WHERE state IN ('writing', 'condemned')"):
        assert time.monotonic() < deadline, "the sweep does not end"
        time.sleep(0.05)
    images = {row[0]: row[1:] for row in tables.rows("id, status, failure, import_task, stores FROM images")}
    assert {status for status, *_ in images.values()} <= {"queued", "active", "uploading"}, (
        "an image is stuck"
    )
    blobs = tables.rows("id, image_id, store, state, digests FROM blobs")
    for image, digest in list(known.digests.items()):
        status, failure, task, stores = images[image]
        assert task is None
        copies = [blob for blob in blobs if blob[1] == image]
        if status == "active":
            assert {blob[2] for blob in copies} == set(json.loads(stores))
            assert {json.loads(blob[4])["os_hash_value"] for blob in copies} == {digest}
        else:
            assert (status, bool(failure), copies) == ("queued", True, []), (status, failure, copies)
    for store in STORES:
        files = {path.name: path for path in (server.folder / store).glob("*/*") if path.is_file()}
        assert set(files) == {blob[0] for blob in blobs if blob[2] == store}
        for blob, _, home, _, digests in blobs:
            if home == store:
                wanted = json.loads(digests)["os_hash_value"]
                assert hashlib.sha512(files[blob].read_bytes()).hexdigest() == wanted
    assert not known.deleted & set(images), "an acknowledged deletion is undone"


@pytest.mark.needs("postgresql")
def test_no_import_runs_twice(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With two servers' workers and another one beside them each source is asked once."""
    cluster = request.getfixturevalue("cluster")
    tables = Tables(tmp_path, cluster)
    with web.serving(lambda asked: asked.ranged(bytes(100_000))) as source:
        environment: dict[str, Any] = {
            **tables.environment,
            "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TINTYPE_IMPORTS_PORTS": str(source.server_port),
        }
        folder = tmp_path / "data"
        with (
            started(folder, "--workers", "2", **environment) as server,
            worker(folder, {"PATH": str(BIN), **environment}),
        ):
            headers = {"X-Auth-Token": server.log_in()}
            with httpx2.Client(base_url=server.url, headers=headers, timeout=20, trust_env=False) as http:
                for number in range(60):
                    image = http.post("/v2/images", json={"disk_format": "raw", "container_format": "bare"})
                    method = {"name": "web-download", "uri": f"{source.url}/{number}"}
                    answer = http.post(f"/v2/images/{image.json()['id']}/import", json={"method": method})
                    assert answer.status_code == 202
            deadline = time.monotonic() + 40
            while tables.rows("id FROM jobs WHERE state IN ('pending', 'processing')"):
                assert time.monotonic() < deadline, "a job does not end"
                time.sleep(0.1)
            assert {row[0] for row in tables.rows("state FROM jobs")} == {"success"}
            assert sorted(path for _, path, _ in source.seen) == sorted(f"/{number}" for number in range(60))
