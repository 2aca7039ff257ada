"""Bytes there and back: whole and verified, whatever the network does; on a Tintype and on a Glance."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clouds import Cloud
from cutting import proxy
from processes import eventually
from tintype.client import AsyncClient, Client, errors

MIB = 1 << 20
LARGE = (1024 if os.environ.get("REQUIRE") == "all" else 96) * MIB
"""What passes through the breaking network; the whole suite takes a gibibyte."""
FORMATS: dict[str, Any] = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture(scope="module")
def client(cloud: Cloud) -> Iterator[Client]:
    with Client(cloud="alice") as client:
        yield client


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.raw"
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(LARGE // MIB):
            file.write(number.to_bytes(8) + block[8:])
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def test_push_and_pull(client: Client, disk: Path, tmp_path: Path) -> None:
    """A file becomes an image and a file again, with holes where it has zeros, and progress to the end."""
    sent: list[tuple[int, int | None]] = []
    image = client.images.push(disk, progress=lambda *told: sent.append(told))
    assert (image.name, image.status, image.disk_format) == ("disk.raw", "active", "raw")
    assert image.os_hash_value == digest(disk)
    size = disk.stat().st_size
    assert sent[0] == (0, size)
    assert sent[-1] == (size, size)
    got: list[tuple[int, int | None]] = []
    target = tmp_path / "got.raw"
    assert client.images.download(image.id, target, progress=lambda *told: got.append(told)).id == image.id
    assert digest(target) == digest(disk)
    assert got[-1] == (size, size)
    assert target.stat().st_blocks * 512 < size - 5_000_000, "zeros take no room"
    assert list(tmp_path.iterdir()) == [target]
    client.images.delete(image.id)


def test_every_kind_of_bytes(client: Client, disk: Path) -> None:
    """A path, bytes, an open file from where it stands, a pipe, pieces as they come: all are taken."""
    data = disk.read_bytes()
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    threading.Thread(target=write).start()
    with disk.open("rb") as opened, os.fdopen(reading, "rb") as pipe:
        opened.seek(1000)
        kinds: list[tuple[Any, bytes]] = [
            (str(disk), data),
            (data, data),
            (b"", b""),
            (opened, data[1000:]),
            (pipe, data),
            (iter([data[:5], b"", data[5:]]), data),
            (io.BytesIO(data), data),
        ]
        for given, expected in kinds:
            image = client.images.create("kinds", **FORMATS)
            client.images.upload(image.id, given)
            assert b"".join(client.images.data(image.id)) == expected, given
            client.images.delete(image.id)


def test_into_what_is_written_to(client: Client, disk: Path, tmp_path: Path) -> None:
    """A download may go into anything with `write`, and into a pipe."""
    image = client.images.push(disk)
    target = io.BytesIO()
    client.images.download(image.id, target)
    assert target.getvalue() == disk.read_bytes()
    pipe, got = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.extend(pipe.read_bytes()))
    reader.start()
    client.images.download(image.id, pipe)
    reader.join()
    assert bytes(got) == disk.read_bytes()
    assert list(tmp_path.iterdir()) == [pipe], "a pipe stays one"
    with pytest.raises(errors.ClientError, match="is not a regular file"):
        client.images.push(pipe)
    client.images.delete(image.id)


def test_refusals(client: Client, cloud: Cloud, tmp_path: Path, disk: Path) -> None:
    """What cannot be is told in words, at once; nothing is left behind."""
    queued = client.images.create("queued", **FORMATS)
    with pytest.raises(errors.Conflict):
        client.images.download(queued.id, tmp_path / "no")
    with pytest.raises(errors.NotFound):
        client.images.upload("00000000-0000-4000-8000-000000000000", disk)
    with pytest.raises(FileNotFoundError):
        client.images.upload(queued.id, tmp_path / "not there")
    client.images.upload(queued.id, b"x")
    with pytest.raises(errors.Conflict):
        client.images.upload(queued.id, b"y")
    assert list(tmp_path.iterdir()) == []
    client.images.delete(queued.id)


@pytest.mark.needs("time")
def test_through_a_breaking_network(client: Client, cloud: Cloud, large: Path, tmp_path: Path) -> None:
    """Connections are cut at random bytes, there and back: the result is whole and verified."""
    token = client.transport.access().headers["X-Auth-Token"] if cloud.is_tintype else None
    image = client.images.create("cut", **FORMATS)
    with proxy(cloud.url, mean=LARGE // 6, seed=1) as network:
        who: dict[str, Any] = {"token": token} if token else {"cloud": "alice"}
        with Client(endpoint=network.url, **who, attempts=8) as cut:
            if cloud.is_tintype:
                cut.images.upload(image.id, large)
                assert network.cuts > 0
            else:  # it must come in one go there
                network.whole = True
                cut.images.upload(image.id, large)
                network.whole = False
            assert client.images.get(image.id).os_hash_value == digest(large)
            before = network.cuts
            target = tmp_path / "got.raw"
            cut.images.download(image.id, target)
            assert network.cuts > before
            assert digest(target) == digest(large)
            made = hashlib.sha512()
            for piece in cut.images.data(image.id):
                made.update(piece)
            assert made.hexdigest() == digest(large)
    client.images.delete(image.id)


def test_an_upload_in_one_request_begins_again(client: Client, cloud: Cloud, disk: Path) -> None:
    """Without resumable uploads what broke off is sent anew, once the server has let go of it."""
    image = client.images.create("again", **FORMATS)
    with proxy(cloud.url, mean=12_000_000, seed=7, enough=3) as network:
        with Client(cloud="alice", endpoint=network.url, attempts=30) as cut:
            cut.images.upload(image.id, disk, resumable=False)
        assert network.cuts == 3
    assert client.images.get(image.id).os_hash_value == digest(disk)
    client.images.delete(image.id)


SCRIPT = """
import sys
from tintype.client import Client
with Client(cloud="alice", endpoint=sys.argv[1]) as client:
    getattr(client.images, sys.argv[2])(*sys.argv[3:])
"""


@pytest.mark.needs("time")
def test_a_later_process_goes_on(client: Client, cloud: Cloud, tmp_path: Path) -> None:
    """A push, and a download, that were killed go on in another process with what had arrived."""
    file, target, log = (tmp_path / name for name in ("slow.raw", "got.raw", "got.raw.part.log"))
    file.write_bytes(os.urandom(40 * MIB))
    told: list[int] = []
    with proxy(cloud.url, mean=1 << 60, seed=2) as network:
        network.pause = 0.005
        if cloud.is_tintype:
            killed(network.url, "push", str(file), until=lambda: network.passed > 20 * MIB)
        image = client.images.push(file, progress=lambda done, _total: told.append(done))
        if cloud.is_tintype:
            assert next(done for done in told if done) > 10 * MIB, "it begins where the other was killed"
            assert len(list(client.images.list(name="slow.raw"))) == 1
        assert image.os_hash_value == digest(file)
        killed(network.url, "download", image.id, str(target), until=lambda: arrived(log) > 20 * MIB)
    had = arrived(log)
    assert not target.exists()
    told.clear()
    client.images.download(image.id, target, progress=lambda done, _total: told.append(done))
    assert told[0] == had
    assert digest(target) == digest(file)
    assert not log.exists()
    client.images.delete(image.id)


def killed(url: str, *call: str, until: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, url, *call], env={**os.environ})
    try:
        eventually(lambda: process.poll() is None and until(), 60)
    finally:
        process.kill()
        process.wait()


def arrived(log: Path) -> int:
    if not log.exists():
        return 0
    spans = [line.split() for line in log.read_text().splitlines()[1:]]
    return sum(int(end) - int(start) for start, end in spans)


def test_what_another_left_is_not_taken(client: Client, disk: Path, tmp_path: Path) -> None:
    """A part file of other bytes, or one that was tampered with, never becomes the image."""
    image = client.images.push(disk)
    size = disk.stat().st_size
    target = tmp_path / "got.raw"
    part, log = tmp_path / "got.raw.part", tmp_path / "got.raw.part.log"
    part.write_bytes(bytes(size))
    log.write_text(f"tintype-download-1 another {size}\n0 {size}\n")
    client.images.download(image.id, target)
    assert digest(target) == digest(disk)
    part.write_bytes(bytes(size))
    log.write_text(f"tintype-download-1 {image.id} {image.os_hash_value} {size}\n0 {size}\n")
    with pytest.raises(errors.DigestMismatch):
        client.images.download(image.id, target)
    assert list(tmp_path.iterdir()) == [target], "what is wrong is not gone on with"
    client.images.download(image.id, target)
    client.images.delete(image.id)


async def test_the_asynchronous_client(cloud: Cloud, disk: Path, tmp_path: Path) -> None:
    """Everything at once, awaited; one that is cancelled leaves nothing that goes on."""
    async with AsyncClient(cloud="alice") as client:
        made = await asyncio.gather(*(client.images.push(disk, f"async-{n}") for n in range(4)))
        names = {image.name async for image in client.images.list(limit=2, name="in:async-0,async-3")}
        assert names == {"async-0", "async-3"}
        await asyncio.gather(
            *(client.images.download(image.id, tmp_path / str(image.name)) for image in made)
        )
        for image in made:
            assert digest(tmp_path / str(image.name)) == digest(disk)
        pieces = [piece async for piece in client.images.data(made[0].id)]
        assert b"".join(pieces) == disk.read_bytes()
        task = asyncio.create_task(client.images.download(made[1].id, tmp_path / "cancelled"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (tmp_path / "cancelled").exists()
        for image in made:
            await client.images.delete(image.id)
    assert not [thread for thread in threading.enumerate() if thread.name == "tintype-hash"]


def test_waiting(cloud: Cloud) -> None:
    """An import is waited for, and its failure is told in the server's words."""
    with Client(cloud="admin") as admin:
        image = admin.images.create("waited", **FORMATS)
        admin.images.stage(image.id, b"staged bytes")
        admin.images.import_(image.id)
        assert admin.images.wait(image.id, within=30).size == 12
        if cloud.is_tintype:
            failing = admin.images.create("failing", **FORMATS)
            admin.images.import_(failing.id, "web-download", uri=f"http://127.0.0.1:{cloud.allowed_port}/x")
            with pytest.raises(errors.TransferFailed, match="HTTP 404 Not Found"):
                admin.images.wait(failing.id, within=30)
        with pytest.raises(errors.TransferFailed, match="still queued"):
            admin.images.wait(admin.images.create("never", **FORMATS).id, within=0.2)
