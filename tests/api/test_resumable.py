"""Resumable uploads (tus 1.0): pieces, breaks, restarts, races, and ends of every kind."""

import asyncio
import base64
import hashlib
import itertools
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inprocess import Prepared, Service, running
from tintype import data_folder
from tintype.blobs.stream import Chunks
from tintype.db import uploads as upload_rows
from tintype.domain.uploads import Upload
from tintype.errors import Disconnected, Unavailable

MIB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
BINARY = {"Content-Type": "application/octet-stream"}


async def make(service: Service, disk_format: str = "raw") -> str:
    body = {"disk_format": disk_format, "container_format": "bare"}
    image = (await service.call("alice", "POST", "/v2/images", json=body)).json()
    return f"/v2/images/{image['id']}"


async def begin(service: Service, image: str, length: int, **headers: str) -> httpx2.Response:
    headers = {**TUS, "Upload-Length": str(length), **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await service.call("alice", "POST", f"{image}/uploads", headers=headers)


async def started(service: Service, length: int, disk_format: str = "raw") -> tuple[str, str]:
    """Give an image and an upload to it."""
    image = await make(service, disk_format)
    answer = await begin(service, image, length)
    assert answer.status_code == 201, answer.text
    return image, answer.headers["location"].removeprefix("http://testserver")


async def send(service: Service, upload: str, offset: int, data: object, **headers: str) -> httpx2.Response:
    headers = {**PIECE, "Upload-Offset": str(offset), **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await service.call("alice", "PATCH", upload, headers=headers, content=data)


async def silent(service: Service, upload: str, count: int) -> "asyncio.Task[httpx2.Response]":
    """Begin a request that falls silent after so many bytes, and wait until it has."""
    sent = asyncio.Event()

    async def falls_silent() -> AsyncIterator[bytes]:
        yield b"a" * count
        sent.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(send(service, upload, 0, falls_silent()))
    await sent.wait()
    return running


async def offset_of(service: Service, upload: str) -> int:
    answer = await service.call("alice", "HEAD", upload, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


async def show(service: Service, image: str) -> dict[str, object]:
    return dict((await service.call("alice", "GET", image)).json())


async def stored(service: Service, image: str) -> bytes:
    return (await service.call("alice", "GET", f"{image}/file")).content


def files(service: Service) -> list[Path]:
    return [path for path in (service.folder / "images").glob("*/*") if path.is_file()]


def checksum(algorithm: str, data: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "application/json", ""])
async def test_a_creation_without_a_body_has_any_type(service: Service, kind: str) -> None:
    """Clients on aiohttp name a type though they send nothing; what is sent must still be a piece."""
    for content in (None, b""):
        answer = await begin(service, await make(service), 3, Content_Type=kind)
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, "0")
        headers = {**TUS, "Upload-Length": "3", "Content-Type": kind}
        url = f"{await make(service)}/uploads"
        answer = await service.call("alice", "POST", url, headers=headers, content=content)
        assert answer.status_code == 201
    for piece in (b"abc", chunks()):
        refused = await service.call("alice", "POST", url, headers=headers, content=piece)
        assert refused.status_code == 415
        assert "offset+octet-stream" in refused.text
    assert len((await service.call("alice", "GET", url)).json()["uploads"]) == 1


async def chunks() -> AsyncIterator[bytes]:
    """Give a body whose length is not declared."""
    yield b""
    yield b"abc"


async def test_what_is_offered(service: Service) -> None:
    """OPTIONS tells version, extensions and limits, without a token and without a version."""
    image = await make(service)
    answer = await service.call(None, "OPTIONS", f"{image}/uploads")
    assert answer.status_code == 200
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    extensions = "creation,creation-with-upload,expiration,checksum,termination"
    assert answer.headers["tus-extension"] == extensions
    assert answer.headers["tus-checksum-algorithm"] == "md5,sha1,sha256,sha512"
    assert int(answer.headers["tus-max-size"]) == 1 << 40


@pytest.mark.parametrize("size", [1, 1000, 70_000, 9 * MIB + 17])
async def test_pieces_become_the_image(service: Service, size: int) -> None:
    """Three pieces make the image that one PUT would have made, and the image waits queued until the last."""
    data = os.urandom(size)
    image, upload = await started(service, size)
    cuts = sorted({0, size // 3, size // 2, size})
    for start, stop in itertools.pairwise(cuts):
        assert (await show(service, image))["status"] == "queued"
        assert await offset_of(service, upload) == start
        answer = await send(service, upload, start, data[start:stop])
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(stop))
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert answer.headers["upload-expires"].endswith("GMT")
    shown = await show(service, image)
    assert (shown["status"], shown["size"]) == ("active", size)
    assert shown["checksum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert await stored(service, image) == data
    assert await offset_of(service, upload) == size  # who lost the last answer learns that it is done
    assert len(files(service)) == 1


async def test_an_upload_of_nothing_is_finished_at_once(service: Service) -> None:
    """As an empty PUT, it makes an active image without bytes."""
    image, upload = await started(service, 0)
    assert (await show(service, image))["status"] == "active"
    assert await offset_of(service, upload) == 0


async def test_the_first_piece_may_come_with_the_creation(service: Service) -> None:
    """creation-with-upload: the answer tells how far it came."""
    image = await make(service)
    headers = {**PIECE, "Upload-Length": "6"}
    answer = await service.call("alice", "POST", f"{image}/uploads", headers=headers, content=b"abc")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "3")
    upload = answer.headers["location"].removeprefix("http://testserver")
    assert (await send(service, upload, 3, b"def")).status_code == 204
    assert await stored(service, image) == b"abcdef"


async def test_uploads_are_listed(service: Service) -> None:
    """Who lost an upload's address finds it below the image."""
    image, upload = await started(service, 10)
    await send(service, upload, 0, b"abcd")
    (listed,) = (await service.call("alice", "GET", f"{image}/uploads")).json()["uploads"]
    assert (listed["self"], listed["offset"], listed["length"]) == (upload, 4, 10)


async def test_metadata_comes_back(service: Service) -> None:
    """Upload-Metadata is the client's, kept as it came."""
    image = await make(service)
    metadata = "filename d29ybGQ=,is_confidential"
    answer = await begin(service, image, 3, Upload_Metadata=metadata)
    upload = answer.headers["location"]
    assert (await service.call("alice", "HEAD", upload, headers=TUS)).headers["upload-metadata"] == metadata


async def test_a_broken_connection_keeps_what_arrived(service: Service) -> None:
    """The next request goes on behind the last byte that came, digests included."""
    image, upload = await started(service, 10 * MIB)
    data = os.urandom(10 * MIB)

    async def breaks_off() -> AsyncIterator[bytes]:
        for start in range(0, 5 * MIB, 1000):
            yield data[start : start + 1000]
        raise Disconnected("gone")

    caller = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller
    image_id, upload_id = image.rsplit("/", 1)[1], upload.rsplit("/", 1)[1]
    with pytest.raises(Disconnected):
        await service.parts.uploads.append(
            caller, image_id, upload_id, Chunks(breaks_off()), offset=0, size=10 * MIB, checksum=None
        )
    reached = await offset_of(service, upload)
    assert 5 * MIB <= reached <= 5 * MIB + 1000
    assert (await send(service, upload, reached, data[reached:])).status_code == 204
    assert await stored(service, image) == data
    assert (await show(service, image))["os_hash_value"] == hashlib.sha512(data).hexdigest()


async def test_another_process_goes_on(service: Service) -> None:
    """What one server began another ends, which reads the bytes once more to know their digests."""
    data = os.urandom(3 * MIB)
    image, upload = await started(service, len(data))
    assert (await send(service, upload, 0, data[:MIB])).status_code == 204
    service.parts.uploads._pipelines.clear()
    assert (await send(service, upload, MIB, data[MIB : 2 * MIB])).status_code == 204
    assert (await send(service, upload, 2 * MIB, data[2 * MIB :])).status_code == 204
    assert await stored(service, image) == data
    assert (await show(service, image))["os_hash_value"] == hashlib.sha512(data).hexdigest()


async def test_pieces_of_many_buffers_are_written_in_order(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large pieces that nobody hashes as they pass: however long each write takes, none overtakes another."""
    data = os.urandom(26 * MIB)
    store = service.parts.ingest.store(None)
    resume = store.resume  # type: ignore[attr-defined]

    async def with_slow_writes(key: str, offset: int, size: int) -> object:
        writer = await resume(key, offset, size)
        write = writer.write

        async def slow(part: memoryview) -> None:
            await asyncio.sleep(random.random() / 50)
            await write(part)

        writer.write = slow
        return writer

    monkeypatch.setattr(store, "resume", with_slow_writes)
    image, upload = await started(service, len(data))
    for start, stop in ((0, 1000), (1000, 13 * MIB), (13 * MIB, 26 * MIB)):
        assert (await send(service, upload, start, data[start:stop])).status_code == 204
        service.parts.uploads._pipelines.clear()
    assert await stored(service, image) == data


async def test_pieces_that_do_not_follow_are_refused(service: Service) -> None:
    """A wrong offset is 409, a piece beyond the end 400; neither changes anything."""
    _, upload = await started(service, 10)
    assert (await send(service, upload, 3, b"abc")).status_code == 409
    assert (await send(service, upload, 0, b"x" * 11)).status_code == 400

    async def unknown_length() -> AsyncIterator[bytes]:
        yield b"x" * 11

    assert (await send(service, upload, 0, unknown_length())).status_code == 400
    assert (await send(service, upload, await offset_of(service, upload), b"abc")).status_code == 204


async def test_a_checksum_is_all_or_nothing(service: Service) -> None:
    """A piece with the wrong digest is 460 and forgotten; with the right one it counts."""
    data = os.urandom(200_000)
    image, upload = await started(service, len(data))
    half = len(data) // 2
    assert (await send(service, upload, 0, data[:half])).status_code == 204
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        wrong = checksum(algorithm, b"other")
        answer = await send(service, upload, half, data[half:], Upload_Checksum=wrong)
        assert answer.status_code == 460
        assert await offset_of(service, upload) == half
    right = checksum("sha256", data[half:])
    assert (await send(service, upload, half, data[half:], Upload_Checksum=right)).status_code == 204
    assert await stored(service, image) == data


@pytest.mark.parametrize("value", ["crc32 AAAA", "sha256 AAAA", "sha256", "md5 !!!", ""])
async def test_a_checksum_that_is_none_is_refused(service: Service, value: str) -> None:
    """400, as tus says of algorithms that are not offered."""
    _, upload = await started(service, 3)
    assert (await send(service, upload, 0, b"abc", Upload_Checksum=value)).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Length": "x"},
        {"Upload-Length": "-1"},
        {"Upload-Length": "9" * 30},
        {},
        {"Upload-Length": "3", "Upload-Metadata": "a !"},
        {"Upload-Length": "3", "Upload-Metadata": "a YQ==,a YQ=="},
        {"Upload-Length": "3", "Repr-Digest": "nonsense"},
        {"Upload-Length": "3", "X-Image-Meta-Store": "nowhere"},
    ],
)
async def test_a_malformed_creation_is_400(service: Service, headers: dict[str, str]) -> None:
    """Nothing is begun."""
    image = await make(service)
    answer = await service.call("alice", "POST", f"{image}/uploads", headers={**TUS, **headers})
    assert answer.status_code == 400, answer.text
    assert (await service.call("alice", "GET", f"{image}/uploads")).json() == {"uploads": []}


async def test_only_this_version_is_spoken(service: Service) -> None:
    """Without Tus-Resumable: 1.0.0 it is 412, with the version that is spoken; other media types are 415."""
    image, upload = await started(service, 3)
    for method, path in (
        ("POST", f"{image}/uploads"),
        ("PATCH", upload),
        ("HEAD", upload),
        ("DELETE", upload),
    ):
        answer = await service.call("alice", method, path, headers={"Tus-Resumable": "0.2.2"})
        assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
    wrong = {**TUS, "Upload-Offset": "0", **BINARY}
    assert (await service.call("alice", "PATCH", upload, headers=wrong, content=b"a")).status_code == 415


async def test_a_post_may_stand_for_another_method(service: Service) -> None:
    """For clients behind what knows only GET and POST."""
    image, upload = await started(service, 3)
    headers = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await service.call("alice", "POST", upload, headers=headers, content=b"abc")).status_code == 204
    assert await stored(service, image) == b"abc"
    assert (await service.call("alice", "POST", upload, headers=TUS)).status_code == 400


async def test_an_upload_is_ended_by_its_owner(service: Service) -> None:
    """DELETE takes the bytes away; afterwards it is 404."""
    image, upload = await started(service, 10)
    await send(service, upload, 0, b"abc")
    assert (await service.call("alice", "DELETE", upload, headers=TUS)).status_code == 204
    assert files(service) == []
    assert (await service.call("alice", "HEAD", upload, headers=TUS)).status_code == 404
    assert (await show(service, image))["status"] == "queued"


async def test_others_do_not_see_an_upload(service: Service) -> None:
    """Strangers are told 404, who may only read 403."""
    image, upload = await started(service, 3)
    headers = {**PIECE, "Upload-Offset": "0"}
    for who, status in (("bob", 404), ("carol", 403)):
        assert (
            await service.call(who, "PATCH", upload, headers=headers, content=b"abc")
        ).status_code == status
        assert (await service.call(who, "HEAD", upload, headers=TUS)).status_code == status
        assert (await service.call(who, "DELETE", upload, headers=TUS)).status_code == status
        assert (await service.call(who, "GET", f"{image}/uploads")).status_code == status
    other = await make(service)
    elsewhere = f"{other}/uploads/{upload.rsplit('/', 1)[1]}"
    assert (await service.call("alice", "HEAD", elsewhere, headers=TUS)).status_code == 404


async def test_bytes_of_another_format_are_refused_at_the_end(service: Service) -> None:
    """415 as from PUT, the reason is kept, nothing is left; in pieces, and after a restart as well."""
    for restarted in (False, True):
        image, upload = await started(service, 2000, "qcow2")
        assert (await send(service, upload, 0, b"x" * 1000)).status_code == 204
        if restarted:
            service.parts.uploads._pipelines.clear()
        answer = await send(service, upload, 1000, b"x" * 1000)
        assert answer.status_code == 415
        shown = await show(service, image)
        assert shown["status"] == "queued"
        assert "does not match" in str(shown["os_glance_failed_reason"])
        assert (await service.call("alice", "HEAD", upload, headers=TUS)).status_code == 404
        assert files(service) == []


async def test_formats_may_change_between_pieces(service: Service) -> None:
    """The bytes are looked at as what the image says they are when they become its own."""
    image, upload = await started(service, 2000)
    await send(service, upload, 0, b"x" * 1000)
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    change = b'[{"op": "replace", "path": "/disk_format", "value": "qcow2"}]'
    assert (await service.call("alice", "PATCH", image, headers=patch, content=change)).status_code == 200
    assert (await send(service, upload, 1000, b"x" * 1000)).status_code == 415


async def test_an_expected_digest_holds_for_the_whole(service: Service) -> None:
    """Repr-Digest at the creation: another digest at the end is 400, and nothing is stored."""
    image = await make(service)
    right = base64.b64encode(hashlib.sha256(b"abcdef").digest()).decode()
    for data, status in ((b"abcdeX", 400), (b"abcdef", 204)):
        answer = await begin(service, image, 6, Repr_Digest=f"sha-256=:{right}:")
        upload = answer.headers["location"]
        assert (await send(service, upload, 0, data[:3])).status_code == 204
        assert (await send(service, upload, 3, data[3:])).status_code == status
    assert await stored(service, image) == b"abcdef"


async def test_the_first_to_end_wins(service: Service) -> None:
    """Several uploads may fill one image; when one has, the others meet a conflict."""
    image, first = await started(service, 3)
    second = (await begin(service, image, 3)).headers["location"]
    assert (await send(service, first, 0, b"one")).status_code == 204
    assert (await send(service, second, 0, b"two")).status_code == 409
    assert (await begin(service, image, 3)).status_code == 409
    assert await stored(service, image) == b"one"


async def test_an_image_has_so_many_uploads_at_once(service: Service) -> None:
    """What is begun and left does not pile up without end."""
    image = await make(service)
    statuses = [(await begin(service, image, 3)).status_code for _ in range(33)]
    assert statuses == [201] * 32 + [413]


async def test_who_comes_back_takes_over(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose client is silent lets go of the upload when another one asks, with what it has."""
    monkeypatch.setattr("tintype.services.upload_chunks._HEARTBEAT_SECONDS", 0.05)
    image, upload = await started(service, 2 * MIB)
    old = await silent(service, upload, MIB)
    assert await offset_of(service, upload) == MIB
    assert (await old).status_code == 409
    assert (await send(service, upload, MIB, b"b" * MIB)).status_code == 204
    assert await stored(service, image) == b"a" * MIB + b"b" * MIB


async def test_an_upload_that_is_being_finished_is_locked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is not broken off for another request, which is told 423 and when to come again."""
    monkeypatch.setattr("tintype.services.upload_chunks._HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr("tintype.services.uploads._PATIENCE_SECONDS", 0.2)
    image, upload = await started(service, 3)
    ending, go = asyncio.Event(), asyncio.Event()
    commit = service.parts.ingest.commit

    async def slow(*arguments: Any) -> None:
        ending.set()
        await go.wait()
        await commit(*arguments)

    monkeypatch.setattr(service.parts.ingest, "commit", slow)
    last = asyncio.create_task(send(service, upload, 0, b"abc"))
    await ending.wait()
    answer = await service.call("alice", "HEAD", upload, headers=TUS)
    assert (answer.status_code, answer.headers["retry-after"]) == (423, "5")
    go.set()
    assert (await last).status_code == 204
    assert await offset_of(service, upload) == 3
    assert (await show(service, image))["status"] == "active"


async def test_a_store_that_fails_at_the_end_is_tried_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 leaves image and upload as they were but for the last byte; the client's next try ends it."""
    image, upload = await started(service, 6)

    async def fails(*_arguments: object) -> None:
        raise Unavailable("no")

    with monkeypatch.context() as patched:
        patched.setattr(service.parts.ingest, "commit", fails)
        assert (await send(service, upload, 0, b"abcdef")).status_code == 503
    shown = await show(service, image)
    assert (shown["status"], shown["os_glance_failed_reason"]) == ("queued", "no")
    assert await offset_of(service, upload) == 5
    assert (await send(service, upload, 5, b"f")).status_code == 204
    assert await stored(service, image) == b"abcdef"
    assert "os_glance_failed_reason" not in await show(service, image)


async def test_an_image_deleted_meanwhile_ends_the_upload(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running piece ends with 410 by itself; the bytes go."""
    monkeypatch.setattr("tintype.services.upload_chunks._HEARTBEAT_SECONDS", 0.05)
    image, upload = await started(service, 2 * MIB)
    piece = await silent(service, upload, MIB)
    assert (await service.call("alice", "DELETE", image)).status_code == 204
    assert (await asyncio.wait_for(piece, 5)).status_code == 410
    await service.parts.sweeper.sweep()
    assert files(service) == []


async def test_an_image_deleted_before_the_first_byte_was_written_leaves_none(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion found no file yet; the bytes in memory must not make one afterwards."""
    monkeypatch.setattr("tintype.services.upload_chunks._HEARTBEAT_SECONDS", 0.05)
    for target in ("image", "upload"):
        image, upload = await started(service, 2 * MIB)
        piece = await silent(service, upload, 1000)
        path = image if target == "image" else upload
        assert (await service.call("alice", "DELETE", path, headers=TUS)).status_code == 204
        await service.parts.sweeper.sweep()
        assert (await asyncio.wait_for(piece, 5)).status_code in {409, 410}
        await service.parts.sweeper.sweep()
        assert files(service) == []


async def test_an_upload_expires(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody goes on with is swept, bytes and all; a finished one is forgotten, its image stays."""
    image, upload = await started(service, 10)
    await send(service, upload, 0, b"abc")
    done, finished = await started(service, 3)
    await send(service, finished, 0, b"abc")
    later = server_now() + 25 * 3600 * 1_000_000
    monkeypatch.setattr("tintype.jobs.sweeper.now", lambda: later)
    monkeypatch.setattr("tintype.services.uploads.now", lambda: later)
    await service.parts.sweeper.sweep()
    assert (await service.call("alice", "HEAD", upload, headers=TUS)).status_code == 404
    assert (await service.call("alice", "HEAD", finished, headers=TUS)).status_code == 404
    assert (await show(service, image))["status"] == "queued"
    assert await stored(service, done) == b"abc"
    assert len(files(service)) == 1


def server_now() -> int:
    from tintype.db.engine import now

    return now()


async def test_dying_while_finishing_costs_the_last_byte(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the file's move and the database's word: the next start puts the upload back."""
    async with running(prepared, tmp_path) as service:
        image, upload = await started(service, 6)

        async def dies(*_arguments: object) -> None:
            raise KeyboardInterrupt

        async def leaves_everything(*_arguments: object) -> None:
            return

        monkeypatch.setattr(service.parts.ingest, "complete", dies)
        monkeypatch.setattr(service.parts.uploads, "_abort", leaves_everything)
        with pytest.raises(KeyboardInterrupt):
            await append_directly(service, image, upload, b"abcdef")
        monkeypatch.undo()
        assert (await show(service, image))["status"] == "saving"
        async with service.parts.database.write() as tx:
            await data_folder._expire_leases(tx)
        await service.parts.sweeper.sweep()
        assert (await show(service, image))["status"] == "queued"
        assert await offset_of(service, upload) == 5
        assert (await send(service, upload, 5, b"f")).status_code == 204
        assert await stored(service, image) == b"abcdef"


async def append_directly(service: Service, image: str, upload: str, data: bytes) -> Upload:
    caller = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller

    async def source() -> AsyncIterator[bytes]:
        yield data

    image_id, upload_id = image.rsplit("/", 1)[1], upload.rsplit("/", 1)[1]
    return await service.parts.uploads.append(
        caller, image_id, upload_id, Chunks(source()), offset=0, size=len(data), checksum=None
    )


async def test_a_request_that_lost_its_upload_changes_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that ends only after its hold was lost promises nothing, and undoes nothing of the next one."""
    image, upload = await started(service, 2 * MIB)
    upload_id = upload.rsplit("/", 1)[1]
    store = service.parts.ingest.store(None)
    resume = store.resume  # type: ignore[attr-defined]
    saving, go = asyncio.Event(), asyncio.Event()

    async def with_a_slow_flush(key: str, offset: int, size: int) -> object:
        writer = await resume(key, offset, size)
        flush = writer.flush

        async def slow() -> None:
            await flush()
            saving.set()
            await go.wait()

        writer.flush = slow
        return writer

    with monkeypatch.context() as patched:
        patched.setattr(store, "resume", with_a_slow_flush)
        late = asyncio.create_task(send(service, upload, 0, b"a" * MIB))
        await saving.wait()
    async with service.parts.database.write() as tx:  # as if the process had slept until its hold was over
        await upload_rows.release_all(tx)
    assert (await send(service, upload, 0, b"b" * 2 * MIB)).status_code == 503  # the late one has the file
    go.set()
    assert (await late).status_code == 410
    assert await offset_of(service, upload) == 0  # what it wrote was not its to promise
    assert (await send(service, upload, 0, b"b" * 2 * MIB)).status_code == 204
    assert await offset_of(service, upload) == 2 * MIB
    assert (await send(service, upload, MIB, b"c" * MIB)).status_code == 409
    assert await stored(service, image) == b"b" * 2 * MIB
    assert [path.name for path in files(service)] == [upload_id]


async def test_a_lease_that_ran_out_while_finishing_leaves_the_upload(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper was faster than a process that slept: 423, and the next try succeeds."""
    image, upload = await started(service, 6)
    monkeypatch.setattr("tintype.services.uploads.LEASE", -1)
    commit = service.parts.ingest.commit

    async def swept(*arguments: Any) -> None:
        await commit(*arguments)
        service.parts.ingest.leases._held.clear()  # the sweeper of another process knows nothing of them
        await service.parts.sweeper.sweep()

    with monkeypatch.context() as patched:
        patched.setattr(service.parts.ingest, "commit", swept)
        assert (await send(service, upload, 0, b"abcdef")).status_code == 423
    monkeypatch.undo()
    assert (await show(service, image))["status"] == "queued"
    assert await offset_of(service, upload) == 5
    assert (await send(service, upload, 5, b"f")).status_code == 204
    assert await stored(service, image) == b"abcdef"


async def test_an_upload_of_nothing_that_fails_is_gone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never looks finished; a new one works."""
    image = await make(service)

    async def fails(*_arguments: object) -> None:
        raise Unavailable("no")

    with monkeypatch.context() as patched:
        patched.setattr(service.parts.ingest, "commit", fails)
        assert (await begin(service, image, 0)).status_code == 503
    assert (await show(service, image))["status"] == "queued"
    assert (await service.call("alice", "GET", f"{image}/uploads")).json() == {"uploads": []}
    assert (await begin(service, image, 0)).status_code == 201
    assert (await show(service, image))["status"] == "active"


async def test_slow_bytes_are_kept_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What trickles in is written before a buffer is full, so that a kill costs seconds, not minutes."""
    monkeypatch.setattr("tintype.services.upload_chunks._SAVE_SECONDS", 0.05)
    image, upload = await started(service, 10 * MIB)

    async def trickles() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"a" * 1000
            await asyncio.sleep(0.03)
        listed = (await service.call("alice", "GET", f"{image}/uploads")).json()["uploads"]
        assert listed[0]["offset"] >= 4000

    assert (await send(service, upload, 0, trickles())).status_code == 204
    assert await offset_of(service, upload) == 10_000
