"""Files in forms of the dashboard: what they may take while they come, and what becomes of them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from test_silence import Line, listening

from browsing import browser
from inprocess import Prepared, Service, running
from tintype.blobs import pace
from tintype.domain.quotas import Quota
from tintype.settings import Server

MIB = 1 << 20
BEHIND = {"name": "behind", "disk_format": "raw"}


def part(name: str, value: bytes | str, filename: str | None = None) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    of_file = "" if filename is None else f'; filename="{filename}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def form(file: bytes, before: dict[str, str] | None = None, behind: dict[str, str] | None = None) -> bytes:
    """Return a form with fields before its file, and behind it."""
    fields = [b"".join(part(*field) for field in (each or {}).items()) for each in (before, behind)]
    return fields[0] + part("data", file, "disk.raw") + fields[1] + b"--b--\r\n"


async def post(line: Line, body: bytes, length: int, who: str = "alice") -> tuple[Any, Any]:
    """Send the beginning of a form whose length is `length`."""
    person = await browser(line.service, who)
    cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    return await line.send(
        *(
            "POST /api/glance/images/",
            f"Cookie: {cookies}",
            f"X-CSRFToken: {person.http.cookies['csrftoken']}",
        ),
        *("X-Requested-With: XMLHttpRequest", "Content-Type: multipart/form-data; boundary=b"),
        f"Content-Length: {length}",
        body=body,
        who=None,
    )


def open_in(folder: Path) -> int:
    """Return the bytes of this process's open files below a folder, of those without a name too."""
    size = 0
    for opened in Path("/proc/self/fd").iterdir():
        try:
            if str(opened.readlink()).startswith(str(folder)):
                size += opened.stat().st_size
        except FileNotFoundError:
            continue
    return size


async def settled(service: Service) -> tuple[int, int]:
    """Return the bytes below the data folder in scratch, and the number of images of alice."""
    scratch = service.folder / "scratch"
    for _ in range(100):
        left = [path for path in scratch.rglob("*") if path.is_file()] if scratch.exists() else []
        if not left:
            break
        await asyncio.sleep(0.05)
    images = (await service.call("alice", "GET", "/v2/images")).json()["images"]
    return sum(path.stat().st_size for path in left), len(images)


@pytest.fixture
def system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder as the system's for temporary files."""
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("order", ["before", "behind"])
async def test_a_form_whose_last_byte_is_withheld(
    prepared: Prepared, tmp_path: Path, system_folder: Path, order: str
) -> None:
    """It takes nothing of the system's folder, ends when it is silent, and leaves nothing anywhere."""
    body = form(bytes(8 * MIB), **{order: BEHIND})
    async with running(prepared, tmp_path) as service, listening(service, 2) as line:
        reader, writer = await post(line, body[:-4], len(body))
        images = await browser(service, "bob")
        most = 0
        for _ in range(10):
            await asyncio.sleep(0.1)
            most = max(most, open_in(system_folder))
        print(f"bytes in the system's folder for temporary files: {most}")
        assert most == 0
        made = await images.send("POST", "images/", data=BEHIND, files={"data": ("d.raw", bytes(MIB))})
        assert (made.status_code, made.json()["status"]) == (201, "active")
        status, message = await end_of(reader)
        assert (status, "silent for 2 s" in message) == (408, True)
        assert await settled(service) == (0, 0)
        assert list(system_folder.iterdir()) == []
        writer.close()


async def end_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Return the status and the message of a refusal to a page."""
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        body = await reader.readexactly(length)
    return int(head.split()[1]), body.decode()


@pytest.mark.parametrize("order", ["before", "behind"])
async def test_a_file_counts_against_the_quota_as_it_comes(
    prepared: Prepared, tmp_path: Path, order: str
) -> None:
    """It is refused before its last byte, and nothing of it stays."""
    body = form(bytes(8 * MIB), **{order: BEHIND})
    quotas = Quota(image_size_total=4)
    async with running(prepared, tmp_path, quotas=quotas) as service, listening(service, 5) as line:
        reader, writer = await post(line, body[:-4], len(body))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert head.split()[1] == b"413"
        writer.close()
        assert await settled(service) == (0, 0)


async def test_files_that_wait_have_their_own_bound(prepared: Prepared, tmp_path: Path) -> None:
    """A project takes half of it, all of them the whole; who sends fields first does not wait."""
    body = form(bytes(4 * MIB), behind=BEHIND)
    server = Server(form_spool_limit=9 * MIB)
    async with running(prepared, tmp_path, server=server) as service, listening(service, 60) as line:
        held = [await post(line, body[:-4], len(body), who) for who in ("alice", "bob")]
        await asyncio.sleep(0.5)
        held.append(await post(line, body[:-4], len(body), "alice"))
        status, message = await end_of(held[-1][0])
        assert (status, "half of server.form_spool_limit" in message) == (413, True)
        admin = await browser(service, "admin")
        behind = {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
        refused = await admin.send("POST", "images/", **behind)
        assert (refused.status_code, "Send the fields" in refused.json()) == (503, True)
        made = await admin.send("POST", "images/", data=BEHIND, files={"data": ("d.raw", bytes(3 * MIB))})
        assert made.status_code == 201
        for _, writer in held:
            writer.close()
        for _ in range(100):
            if (await admin.send("POST", "images/", **behind)).status_code == 201:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("what has gone is counted still")


async def test_files_that_wait_leave_the_reserve_free(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has only its reserve left takes no form."""

    class Disk:
        free = 64 * MIB + 100

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk)
    async with running(prepared, tmp_path) as service:
        alice = await browser(service, "alice")
        answered = await alice.send(
            "POST",
            "images/",
            content=form(bytes(MIB), behind=BEHIND),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert (answered.status_code, "no space" in answered.json()) == (413, True)
        assert await settled(service) == (0, 0)


async def test_fields_on_both_sides(service: Service) -> None:
    """What says too late what the file is, is refused with the reason; the image is not there."""
    alice = await browser(service, "alice")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = form(b"bytes", before={"disk_format": "raw"}, behind={"name": "late"})
    answered = await alice.send("POST", "images/", content=body, headers=headers)
    assert (answered.status_code, "'name'" in answered.json()) == (400, True)
    body = form(b"bytes", before={"name": "early"}, behind={"disk_format": "raw"})
    answered = await alice.send("POST", "images/", content=body, headers=headers)
    assert (answered.status_code, answered.json()["name"], answered.json()["size"]) == (201, "early", 5)
    assert len((await alice.get("images/"))["items"]) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(b"x", before=BEHIND, behind={"disk_format": "raw"}), "'disk_format' more than once"),
        (
            form(b"x", before=BEHIND).replace(b"--b--", part("data", b"y", "late.raw") + b"--b--"),
            "'data' more",
        ),
        (part("name", "a") * 6000 + b"--b--\r\n", "'name' more than once"),
        (part("other", "a", "o.raw") * 6000 + b"--b--\r\n", "'other' more than once"),
        (b"".join(part(f"f{each}", "a", "o.raw") for each in range(101)) + b"--b--\r\n", "at most 100 parts"),
    ],
    ids=["a field again", "the file again", "many of a name", "many files of a name", "many files"],
)
async def test_parts_are_counted_and_have_names_of_their_own(
    service: Service, body: bytes, reason: str
) -> None:
    """Whether they are fields or files that are passed over; nothing is made of such a form."""
    alice = await browser(service, "alice")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answered = await alice.send("POST", "images/", content=body, headers=headers)
    assert (answered.status_code, reason in answered.json()) == (400, True), answered.text
    assert (await alice.get("images/"))["items"] == []


async def test_as_many_parts_as_a_form_may_have(service: Service) -> None:
    """A hundred, with the file."""
    alice = await browser(service, "alice")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = form(b"x", before=BEHIND | {f"p{each}": "v" for each in range(97)})
    answered = await alice.send("POST", "images/", content=body, headers=headers)
    assert answered.status_code == 201, answered.text


async def test_a_form_that_only_trickles(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the minimum rate its file is given up with the reason, and with its room in the spool."""
    monkeypatch.setattr(pace, "_WINDOW_SECONDS", 0.5)
    body = form(bytes(2 * MIB), behind=BEHIND)
    async with running(prepared, tmp_path) as service, listening(service, 60) as line:
        reader, writer = await post(line, body[:MIB], len(body))
        for at in range(MIB, MIB + 600):
            if head := await first_line(reader):
                break
            writer.write(body[at : at + 1])
        assert head.split()[1] == b"408"
        text = await asyncio.wait_for(reader.read(), 20)
        assert b"connection: close" in text.lower()
        assert b"at least 65536 are required. Send the fields" in text
        writer.close()
        assert await settled(service) == (0, 0)


async def first_line(reader: asyncio.StreamReader) -> bytes:
    """Return the first line of an answer that comes soon, or nothing."""
    try:
        return await asyncio.wait_for(reader.readline(), 0.05)
    except TimeoutError:
        return b""


async def test_forms_in_any_pieces(service: Service) -> None:
    """Wherever the network cuts a form, it is the same one."""
    alice = await browser(service, "alice")
    data = b"\r\n--b\r\n--b-\r\n--\r\n-" * 3
    data = data.replace(b"\r\n--b\r\n", b"\r\n--c\r\n").replace(b"--b-", b"--c-")
    for cut in (1, 2, 3, 7, 64):
        for sides in ({"before": BEHIND}, {"behind": BEHIND}):
            body = form(data, **sides)

            async def pieces(body: bytes = body, cut: int = cut) -> AsyncIterator[bytes]:
                for at in range(0, len(body), cut):
                    yield body[at : at + cut]

            headers = {
                "Content-Type": "multipart/form-data; boundary=b",
                "Content-Length": str(len(body)),
            }
            made = await alice.send("POST", "images/", content=pieces(), headers=headers)
            assert (made.status_code, made.json()["size"]) == (201, len(data))
            file = await service.call("alice", "GET", f"/v2/images/{made.json()['id']}/file")
            assert file.content == data
