"""Images that cloud advisories name, made here by writing their headers: refused on every way in.

CVE-2015-5163: a qcow2 whose backing file is a file of the host.
CVE-2024-32498: a qcow2 that keeps its data in another file of the host.
CVE-2022-47951: a vmdk whose descriptor names extents on the host.
"""

import hashlib
import struct
from collections.abc import Awaitable, Callable

import pytest

from inprocess import Service

BINARY = {"Content-Type": "application/octet-stream"}
PIECE = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
KIB = 1 << 10


def qcow2(*, backing: bytes = b"", incompatible: int = 0, extensions: bytes = b"") -> bytes:
    """Give a version 3 header (qemu's docs/interop/qcow2) and some clusters."""
    header_length = 104
    offset = header_length + len(extensions) + 8 if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", 3, offset, len(backing), 16, 10 << 20, 0, 1, 3 << 16, 1 << 16, 1, 0, 0),
        *(incompatible, 0, 0, 4, header_length),
    )
    return (header + extensions + bytes(8) + backing).ljust(256 * KIB, b"\0")


def qcow2_with_data_file() -> bytes:
    """Set the bit for an external data file, and name it in a header extension."""
    name = b"/etc/passwd"
    extension = struct.pack(">II", 0x44415441, len(name)) + name.ljust(16, b"\0")
    return qcow2(incompatible=1 << 2, extensions=extension)


def vmdk(extent: str, create_type: str) -> bytes:
    """Give a sparse header with an embedded descriptor that says something else."""
    text = (
        f'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="{create_type}"\n'
        f"# Extent description\n{extent}\n# The Disk Data Base\n"
    ).encode()
    header = struct.pack(
        "<4sIIQQQQIQQQ?4sH", *(b"KDMV", 1, 3, 20480, 128, 1, 20, 512, 21, 26, 128, False, b"\n \r\n", 0)
    )
    return (header.ljust(512, b"\0") + text.ljust(20 * 512, b"\0")).ljust(256 * KIB, b"\0")


MALICIOUS = {
    "CVE-2015-5163": ("qcow2", qcow2(backing=b"/etc/passwd"), "backing_file"),
    "CVE-2015-5163 as raw": ("raw", qcow2(backing=b"/etc/passwd"), "backing_file"),
    "CVE-2015-5163 by json": ("qcow2", qcow2(backing=b'json:{"driver":"file"}'), "backing_file"),
    "CVE-2024-32498": ("qcow2", qcow2_with_data_file(), "data_file"),
    "CVE-2024-32498 as raw": ("raw", qcow2_with_data_file(), "data_file"),
    "qcow2 from the future": ("qcow2", qcow2(incompatible=1 << 40), "unknown_features"),
    "CVE-2022-47951 flat": ("vmdk", vmdk('RW 20480 FLAT "/etc/passwd" 0', "monolithicFlat"), "descriptor"),
    "CVE-2022-47951 lying": ("vmdk", vmdk('RW 20480 FLAT "/etc/passwd" 0', "monolithicSparse"), "descriptor"),
    "CVE-2022-47951 far": (
        "vmdk",
        vmdk('RW 20480 SPARSE "/etc/passwd"', "streamOptimized"),
        "descriptor",
    ),
    "CVE-2022-47951 as raw": ("raw", vmdk('RW 20480 FLAT "/etc/passwd" 0', "monolithicFlat"), "descriptor"),
}
Way = Callable[[Service, str, bytes], Awaitable[tuple[int, str]]]


async def upload(service: Service, image: str, data: bytes) -> tuple[int, str]:
    answer = await service.call("alice", "PUT", f"{image}/file", content=data, headers=BINARY)
    return answer.status_code, answer.text


async def stage(service: Service, image: str, data: bytes) -> tuple[int, str]:
    answer = await service.call("alice", "PUT", f"{image}/stage", content=data, headers=BINARY)
    return answer.status_code, answer.text


async def in_one_piece(service: Service, image: str, data: bytes) -> tuple[int, str]:
    headers = {**PIECE, "Upload-Length": str(len(data))}
    answer = await service.call("alice", "POST", f"{image}/uploads", content=data, headers=headers)
    return answer.status_code, answer.text


async def in_pieces(service: Service, image: str, data: bytes) -> tuple[int, str]:
    """Cut inside the header, and forget in between what was seen."""
    headers = {**PIECE, "Upload-Length": str(len(data))}
    answer = await service.call("alice", "POST", f"{image}/uploads", content=data[:50], headers=headers)
    path = answer.headers["location"]
    for start, stop in ((50, 700), (700, len(data))):
        service.parts.uploads._warm.clear()
        headers = {**PIECE, "Upload-Offset": str(start)}
        answer = await service.call("alice", "PATCH", path, content=data[start:stop], headers=headers)
    return answer.status_code, answer.text


@pytest.mark.parametrize("way", [upload, stage, in_one_piece, in_pieces], ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", MALICIOUS)
async def test_it_is_refused(service: Service, name: str, way: Way) -> None:
    """415 with the name of the check; the image is queued and says why; not a byte of it is kept."""
    disk_format, data, check = MALICIOUS[name]
    body = {"disk_format": disk_format, "container_format": "bare"}
    image = f"/v2/images/{(await service.call('alice', 'POST', '/v2/images', json=body)).json()['id']}"
    status, text = await way(service, image, data)
    assert status == 415, text
    assert check in text
    shown = (await service.call("alice", "GET", image)).json()
    assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
    assert check in shown["os_glance_failed_reason"]
    assert [path for path in (service.folder / "images").glob("*/*") if path.is_file()] == []
    assert (await service.call("alice", "GET", f"{image}/file")).status_code == 204


@pytest.mark.parametrize("way", [upload, stage, in_one_piece, in_pieces], ids=lambda way: way.__name__)
async def test_an_honest_one_is_taken(service: Service, way: Way) -> None:
    """The same header without the lie passes, so it is the lie that is refused."""
    data = qcow2()
    body = {"disk_format": "qcow2", "container_format": "bare"}
    image = f"/v2/images/{(await service.call('alice', 'POST', '/v2/images', json=body)).json()['id']}"
    status, text = await way(service, image, data)
    assert status in {201, 204}, text
    shown = (await service.call("alice", "GET", image)).json()
    if way is not stage:
        assert (shown["status"], shown["virtual_size"]) == ("active", 10 << 20)
        assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
