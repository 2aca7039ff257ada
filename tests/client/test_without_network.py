"""The parts of the client that send nothing: addresses, failures, retries, logins, clouds, files."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tintype.client import errors, retries, sniffing
from tintype.client.files import Aborted, Hashing, PartFile, Source
from tintype.client.identity import Access, StaticAccess, password
from tintype.client.operations import images, members
from tintype.client.requests import Page, Reply, Request, nothing, path


def test_no_name_leads_elsewhere() -> None:
    """What stands in a path is quoted; dots are refused before anything is sent, and nothing is not there."""
    assert images.get("a/../b?x#y").target == "/v2/images/a%2F..%2Fb%3Fx%23y"
    for bad in (".", ".."):
        with pytest.raises(errors.BadRequest):
            members.get(bad, "x")
    for nothing_at_all in ("", None):
        with pytest.raises(errors.NotFound):
            members.get(nothing_at_all, "x")  # type: ignore[arg-type]


@given(st.lists(st.text(min_size=1).filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4))
def test_paths_keep_their_parts(parts: list[str]) -> None:
    """There are as many parts as were given, whatever is in them."""
    try:
        made = path(*parts)
    except errors.BadRequest:
        return  # a lone surrogate is no text that can be sent
    assert made.count("/") == len(parts)
    assert made.isascii()


def test_the_next_page() -> None:
    """A link is taken below the root, wherever the server thinks that is."""
    first = images.list_(limit=2, name="x")
    for link in ("/v2/images?limit=2&marker=m", "http://inside:9292/image/v2/images?limit=2&marker=m"):
        after = first.after(Page([], link))
        assert after is not None
        assert after.target == "/v2/images?limit=2&marker=m"
    assert first.after(Page([], None)) is None
    with pytest.raises(errors.CommunicationError, match="no address of this API"):
        first.after(Page([], "@elsewhere.example/images"))


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("application/json", b'{"code": 404, "title": "Not Found", "message": "No such."}', "No such."),
        ("application/json", b'{"error": {"code": 401, "message": "Who?"}}', "Who?"),
        (
            "application/json",
            b'{"error": {"code": 404, "title": "Not Found", "message": "No such.", "request_id": "req-1"}}',
            "No such.",
        ),
        ("application/json", b'{"error": {"code": 404, "title": "Not Found"}}', "Not Found"),
        (
            "application/json",
            b'{"message": "No &lt;image&gt;.<br /><br />\\n\\n", "code": "404 Not Found"}',
            "No <image>.",
        ),
        (
            "text/html",
            b"<html><title>404 Not Found</title><h1>404 Not Found</h1>No &lt;image&gt;<br /></html>",
            "No <image>",
        ),
        ("text/plain", b"404 Not Found\n\nNo such.\n", "No such."),
        ("application/json", b"not json", "not json"),
        ("", b"", "Not Found"),
    ],
)
def test_every_way_to_say_no(kind: str, body: bytes, message: str) -> None:
    """JSON of Tintype, old and new, of Keystone and of Glance, HTML and text are read to the same words."""
    error = errors.of(404, {"content-type": kind, "x-openstack-request-id": "req-1"}, body)
    assert type(error) is errors.NotFound
    assert (error.message, error.request_id, error.code) == (message, "req-1", 404)


@given(st.integers(300, 599), st.sampled_from(["application/json", "text/html", ""]), st.binary(max_size=200))
def test_any_answer_is_an_error_of_its_status(status: int, kind: str, body: bytes) -> None:
    """Whatever a server, or a proxy, sends."""
    error = errors.of(status, {"content-type": kind, "retry-after": "soon"}, body)
    assert isinstance(error, errors.HTTPError)
    assert error.code == status
    assert str(error)


def test_what_may_be_sent_again() -> None:
    """A POST only where the server cannot have taken it; anything safe after a broken connection."""
    post, get = Request("POST", "/", nothing), Request("GET", "/", nothing)
    broken, refused = errors.CommunicationError(), retries.NotSent()
    assert not retries.may_repeat(post, broken)
    assert retries.may_repeat(get, broken)
    assert retries.may_repeat(post, refused)
    assert retries.may_repeat(post, errors.ServiceUnavailable())
    assert not retries.may_repeat(post, errors.BadGateway())
    assert not retries.may_repeat(get, errors.InternalServerError())
    assert not retries.may_repeat(get, errors.NotFound())
    assert retries.pause(1, errors.TooManyRequests(retry_after=3)) == 3
    assert retries.pause(1, errors.TooManyRequests(retry_after=1e9)) <= 10
    assert 0 < retries.pause(40, broken) <= 10


def test_a_login() -> None:
    """The request has the password, nothing shown does; the catalogue says where; none is an error."""
    login = password("http://k/v3", username="u", password="s3cret", project_name="p")
    request = login.step(None)
    assert isinstance(request, Request)
    assert request.path == "http://k/v3/auth/tokens"
    assert "s3cret" not in repr(login)
    endpoint = {"interface": "public", "region_id": "r", "url": "http://i/image/v2/"}
    token = {
        "expires_at": "2100-01-01T00:00:00.000000Z",
        "project": {"id": "pid"},
        "catalog": [{"type": "image", "endpoints": [endpoint]}],
    }
    import msgspec

    reply = Reply(201, {"x-subject-token": "t0ken"}, msgspec.json.encode({"token": token}))
    access = login.step(reply)
    assert isinstance(access, Access)
    assert (access.endpoint, access.project_id, access.stale) == ("http://i/image", "pid", False)
    assert "t0ken" not in repr(access)
    with pytest.raises(errors.InvalidEndpoint):
        login.step(Reply(201, {}, msgspec.json.encode({"token": {**token, "catalog": []}})))
    with pytest.raises(errors.InvalidEndpoint):
        StaticAccess("file:///etc/passwd")


@given(st.binary(min_size=1, max_size=400_000), st.randoms(use_true_random=False), st.integers(1, 90_000))
def test_a_file_grows_in_any_order(data: bytes, chance: object, longest: int) -> None:
    """Ranges written in any order, over two lives of the file, make the bytes and their digest."""
    import hashlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "file"
        part = PartFile(target, len(data), "label")
        spans = list(part.missing(longest))
        chance.shuffle(spans)  # type: ignore[attr-defined]
        for start, end in spans[: len(spans) // 2]:
            part.write(start, data[start:end])
        part.close()
        part = PartFile(target, len(data), "label")
        hashing = Hashing(part, "md5")
        for start, end in part.missing(longest):
            part.write(start, data[start:end])
        assert part.done == len(data)
        assert hashing.result() == hashlib.md5(data).hexdigest()  # noqa: S324
        part.finish()
        part.close()
        assert target.read_bytes() == data
        assert os.listdir(folder) == ["file"]  # noqa: PTH208


def test_a_part_file_is_one_downloads(tmp_path: Path) -> None:
    """Another one of the same name waits; what no download made is not touched, nor what a link leads to."""
    target = tmp_path / "file"
    part = PartFile(target, 10, "label")
    with pytest.raises(errors.ClientError, match="Another download"):
        PartFile(target, 20, "other")
    part.write(0, b"0123456789")
    part.finish()
    part.close()
    assert target.read_bytes() == b"0123456789"
    other = tmp_path / "mine"
    mine = tmp_path / "mine.part"
    mine.write_bytes(b"my own")
    with pytest.raises(FileExistsError):
        PartFile(other, 10, "label")
    assert mine.read_bytes() == b"my own"
    (tmp_path / "linked.part").symlink_to(mine)
    with pytest.raises(OSError):
        PartFile(tmp_path / "linked", 10, "label")
    assert mine.read_bytes() == b"my own"


@pytest.mark.parametrize(
    ("data", "name", "disk_format"),
    [
        (b"\xeb\x63\x90".ljust(4096, b"\0") + b"conectix".ljust(512, b"\0"), "disk", "vhd"),
        (b"QFI\xfb".ljust(4096, b"\0") + b"conectix".ljust(512, b"\0"), "disk", "qcow2"),
        (b"conectix", "disk", "vhd"),
        (bytes(4096), "disk.vhd", "vhd"),
        (b"x", "disk.vhd", "raw"),
        (b"", "disk", "raw"),
    ],
)
def test_what_a_disk_looks_like(tmp_path: Path, data: bytes, name: str, disk_format: str) -> None:
    """A file is called by its first bytes, or the footer that a fixed VHD has behind a plain disk."""
    (tmp_path / name).write_bytes(data)
    assert sniffing.disk_format(tmp_path / name) == disk_format


def test_giving_up_ends_what_waits(tmp_path: Path) -> None:
    """Closing a file ends its hashing, and who writes on."""
    part = PartFile(tmp_path / "file", 10, "label")
    hashing = Hashing(part, "md5")
    threading.Timer(0.05, part.close).start()
    with pytest.raises(Aborted):
        hashing.result()
    with pytest.raises(Aborted):
        part.write(0, b"x")


def test_sources(tmp_path: Path) -> None:
    """A file knows its size and a name for its state; what is changed has another; pipes have none."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    source = Source(file)
    assert (source.size, source.again) == (10, True)
    assert b"".join(source.pieces(4)) == b"456789"
    first = source.label
    source.close()
    assert sniffing.label(file) == first
    file.write_bytes(b"0123456789a")
    assert sniffing.label(file) != first
    assert Source(b"bytes").label == ""
    assert (Source(iter([b"a"])).size, Source(iter([b"a"])).again) == (None, False)
