"""What servers and networks say that they should not: a clear error, nothing twice, nothing without end."""

import functools
import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from answering import Answering, asking
from tintype.client import Client, errors
from tintype.client.blocking import downloads
from tintype.client.pyrax import ImageClient

IMAGE = {"id": "i", "name": "n", "status": "active"}


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no json", b'{"id": 1, "tags": 7}', b'"text"', b"null"])
def test_answers_of_another_shape(body: bytes) -> None:
    """An image, a list, usage and a login say so in our words."""
    with asking(lambda _: httpx2.Response(200, content=body)) as client:
        for call in (
            lambda: client.images.get("i"),
            lambda: list(client.images.list()),
            client.info.usage,
            lambda: client.members.list("i"),
        ):
            with pytest.raises(errors.CommunicationError, match="not one of an image service"):
                call()


def test_a_body_without_end() -> None:
    """JSON that is too large is refused; of a refusal only the beginning is read."""
    large = asking(lambda _: httpx2.Response(200, content=b" " * (65 << 20)))
    with large as client, pytest.raises(errors.CommunicationError, match="more than"):
        client.images.get("i")
    talkative = asking(lambda _: httpx2.Response(404, text="x" * (1 << 20)))
    with talkative as client, pytest.raises(errors.NotFound) as refused:
        client.images.get("i")
    assert len(refused.value.message) < 70_000


def test_a_deletion_whose_answer_is_lost() -> None:
    """It is sent again, and that it is gone then is success; never of the first answer."""
    said: list[str] = []

    def lost(request: httpx2.Request) -> httpx2.Response:
        said.append(request.method)
        if len(said) == 1:
            raise httpx2.ReadError("cut")
        return httpx2.Response(404)

    with asking(lost) as client:
        client.images.delete("i")
        assert said == ["DELETE", "DELETE"]
        with pytest.raises(errors.NotFound):
            client.images.delete("i")


def test_a_post_is_sent_once() -> None:
    """Nobody knows whether the first one arrived."""
    said: list[str] = []

    def cut(request: httpx2.Request) -> httpx2.Response:
        said.append(request.method)
        raise httpx2.ReadError("cut")

    with asking(cut) as client, pytest.raises(errors.CommunicationError):
        client.images.create("x")
    assert said == ["POST"]


def test_no_token_in_words() -> None:
    """What cannot be sent is told without what was to be sent."""
    with pytest.raises(errors.InvalidEndpoint) as refused:
        Client(endpoint="http://image", token="secret\ntoken\x00")
    assert "secret" not in str(refused.value)

    def illegal(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.LocalProtocolError("Illegal header value b'secret-token'")

    with asking(illegal) as client, pytest.raises(errors.ClientError) as failed:
        client.images.get("i")
    assert "secret" not in str(failed.value)


def answered(body: Mapping[str, object], _: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def test_digests_that_cannot_be_checked(tmp_path: Path) -> None:
    """Are told before anything is fetched; nothing is left behind."""
    for algorithm in ("nonsense", "shake_256"):
        image = {**IMAGE, "size": 3, "os_hash_algo": algorithm, "os_hash_value": "0"}
        told = asking(functools.partial(answered, image))
        with told as client, pytest.raises(errors.ClientError, match="cannot be checked"):
            client.images.download("i", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_upload_that_does_not_advance(tmp_path: Path) -> None:
    """It ends after some attempts."""
    file = tmp_path / "file"
    file.write_bytes(bytes(9 << 20))
    said: list[str] = []

    def still(request: httpx2.Request) -> httpx2.Response:
        said.append(request.method)
        request.read()
        if request.method == "GET":
            return httpx2.Response(200, json={"uploads": []})
        if request.method == "POST":
            return httpx2.Response(201, headers={"Location": "/v2/images/i/uploads/u"})
        return httpx2.Response(204, headers={"Upload-Offset": "0"})

    with asking(still) as client, pytest.raises(errors.CommunicationError, match="0 bytes now"):
        client.images.upload("i", file)
    assert said.count("PATCH") == 3


def image_of(data: bytes) -> dict[str, object]:
    digest = hashlib.sha512(data).hexdigest()
    return {**IMAGE, "size": len(data), "os_hash_algo": "sha512", "os_hash_value": digest}


@pytest.mark.parametrize(("busy", "requests"), [(0.0, 2), (99.0, 8)])
def test_ranges_at_once_only_where_they_help(
    busy: float, requests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first range has kept a core busy the rest is one request, else it comes by ranges."""
    monkeypatch.setattr(downloads, "_BUSY", busy)
    monkeypatch.setattr(downloads, "_RANGE", 1000)
    data = bytes(range(200)) * 40
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/file"):
            return httpx2.Response(200, json=image_of(data))
        asked.append(request.headers["range"])
        start, end = (int(each) for each in asked[-1].removeprefix("bytes=").split("-"))
        told = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return httpx2.Response(206, content=data[start : end + 1], headers=told)

    with asking(answer) as client:
        client.images.download("i", tmp_path / "x", parallel=3)
    assert (tmp_path / "x").read_bytes() == data
    assert len(asked) == requests


def test_a_stalled_range_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one range is refused the refusal is raised at once, whatever another waits for."""
    monkeypatch.setattr(downloads, "_BUSY", 99.0)
    size = 200 << 20
    stalled = threading.Event()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/file"):
            return httpx2.Response(200, json={**IMAGE, "size": size})
        asked = request.headers["range"].removeprefix("bytes=")
        start, end = (int(each) for each in asked.split("-"))
        if start == 0:
            told = {"Content-Range": f"bytes {start}-{end}/{size}"}
            return httpx2.Response(206, content=bytes(end - start + 1), headers=told)
        if start == 32 << 20:
            stalled.wait(20)
        return httpx2.Response(403, text="the real reason")

    with asking(answer) as client:
        began = time.monotonic()
        with pytest.raises(errors.Forbidden, match="the real reason"):
            client.images.download("i", tmp_path / "x", parallel=3)
        assert time.monotonic() - began < 10
        stalled.set()


@pytest.mark.parametrize("told", ["bytes 5-7/8", "", "items 0-7/8"])
def test_other_bytes_than_were_asked_for(told: str, tmp_path: Path) -> None:
    """A range that begins elsewhere is not taken."""
    data = bytes(range(8))

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/file"):
            return httpx2.Response(200, json=image_of(data))
        return httpx2.Response(206, content=data, headers={"Content-Range": told})

    with asking(answer) as client, pytest.raises(errors.CommunicationError, match="other bytes"):
        client.images.download("i", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_more_bytes_than_there_are(tmp_path: Path) -> None:
    """Neither a file nor a stream takes them."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/file"):
            return httpx2.Response(200, json=image_of(b"1234"))
        return httpx2.Response(200, content=b"12345")

    with asking(answer) as client:
        for call in (
            lambda: client.images.download("i", tmp_path / "x"),
            lambda: b"".join(client.images.data("i")),
        ):
            with pytest.raises(errors.CommunicationError, match="more bytes"):
                call()


def test_an_old_failure_is_no_news() -> None:
    """A task that failed before is not what is waited for, unless it left the image without bytes."""
    failed = {"id": "t", "status": "failure", "message": "yesterday", "created_at": "2026-11-25T00:00:00"}
    status = "active"

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/tasks"):
            return httpx2.Response(200, json={"tasks": [failed]})
        return httpx2.Response(200, json={**IMAGE, "status": status})

    with asking(answer) as client:
        assert client.images.wait("i").status == "active"
        assert client.images.wait("i", known={"t"}).status == "active"
        with pytest.raises(errors.TransferFailed, match="yesterday"):
            client.images.wait("i", known=set())
        status = "queued"
        with pytest.raises(errors.TransferFailed, match="yesterday"):
            client.images.wait("i")


def test_properties_of_any_name() -> None:
    """Those that are named as a parameter go by `properties`."""
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        return httpx2.Response(200, json=IMAGE)

    with asking(answer) as client:
        client.images.create("x", properties={"store": "p", "properties": "q"})
        client.images.update("i", properties={"remove": "r"})
    assert b'"store":"p"' in sent[0]
    assert b'"properties":"q"' in sent[0]
    assert b'"path":"/remove"' in sent[1]


def test_pyrax_reads_what_comes() -> None:
    """`method_get` gives None where no JSON came."""
    images = ImageClient(endpoint="http://image", token="t")
    images.api.close()
    images.api.transport._http = httpx2.Client(
        transport=Answering(lambda _: httpx2.Response(200, text="text"))
    )
    assert images.method_get("/x")[1] is None
    images.api.close()


def test_an_upload_that_a_dead_process_still_holds() -> None:
    """Its lease is not over when the client asks where to continue: 423 is asked again, not given up at."""
    said: list[str] = []
    answers = {
        "POST": [httpx2.Response(201, headers={"location": "/v2/images/i/uploads/u"})],
        "HEAD": [
            httpx2.Response(423, headers={"retry-after": "0"}),
            httpx2.Response(200, headers={"upload-offset": "0"}),
            httpx2.Response(423, headers={"retry-after": "0"}),
            httpx2.Response(200, headers={"upload-offset": "3"}),
        ],
        "PATCH": [
            httpx2.Response(502),
            httpx2.Response(204, headers={"upload-offset": "10"}),
        ],
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        said.append(request.method)
        return answers[request.method].pop(0)

    with asking(answer) as client:
        client.transport.attempts = 5
        client.images.upload("i", b"0123456789", resumable=True, verify=False)
    assert said == ["POST", "HEAD", "HEAD", "PATCH", "HEAD", "HEAD", "PATCH"]
