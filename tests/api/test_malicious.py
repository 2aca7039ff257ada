"""Images that cloud advisories name, made here by writing their headers: refused on every way in.

CVE-2015-5163: a qcow2 whose backing file is a file of the host.
CVE-2024-32498: a qcow2 that keeps its data in another file of the host.
CVE-2022-47951: a vmdk whose descriptor names extents on the host.

And their kind: differencing VHD and VHDX disks, which name a parent, however they hide it.
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


def vhd_footer(kind: int, size: int) -> bytes:
    """Give the 512 bytes at the end of a VHD: `kind` is 2 for fixed, 3 for dynamic, 4 for differencing."""
    start = 0xFFFFFFFFFFFFFFFF if kind == 2 else 512
    fields = (b"conectix", 2, 1 << 16, start, 0, b"test", 0, b"Wi2k", size, size, 0, kind)
    footer = bytearray(struct.pack(">8sIIQI4sI4sQQII", *fields)).ljust(512, b"\0")
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer)


def vhd(kind: int, *, at_the_end: int | None = None) -> bytes:
    """Give a disk of 10 MiB with a copy of its footer at the start, which may say another thing."""
    end = vhd_footer(kind if at_the_end is None else at_the_end, 10 << 20)
    return vhd_footer(kind, 10 << 20) + b"cxsparse".ljust(1024, b"\0") + bytes(64 * KIB) + end


def fixed_vhd(start: bytes = b"", **wrong: int) -> bytes:
    """Give a plain disk that begins like that, and the footer behind it."""
    disk = start.ljust(256 * KIB, b"\0")
    footer = bytearray(vhd_footer(wrong.get("kind", 2), wrong.get("size", len(disk))))
    footer[67] ^= wrong.get("checksum", 0)
    return disk + bytes(footer)


def vhdx(*items: bytes) -> bytes:
    """Give a disk of 10 MiB whose metadata has these items besides its size."""
    region, metadata = 192 * KIB, 2 << 20
    size = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
    place = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
    data = bytearray(3 << 20)
    data[:8] = b"vhdxfile"
    data[region : region + 16] = struct.pack("<4sIII", b"regi", 0, 1, 0)
    data[region + 16 : region + 48] = place + struct.pack("<QII", metadata, 1 << 20, 1)
    data[metadata : metadata + 12] = struct.pack("<8sHH", b"metadata", 0, 1 + len(items))
    for number, item in enumerate((*items, size)):
        at = metadata + 32 + 32 * number
        data[at : at + 28] = item + struct.pack("<III", 64 * KIB, 8, 4)
    at = metadata + 64 * KIB
    data[at : at + 8] = struct.pack("<Q", 10 << 20)
    return bytes(data)


PARENT_LOCATOR = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")
MALICIOUS = {
    "CVE-2015-5163": ("qcow2", qcow2(backing=b"/etc/passwd"), "backing_file"),
    "CVE-2015-5163 as raw": ("raw", qcow2(backing=b"/etc/passwd"), "backing_file"),
    "CVE-2015-5163 by json": ("qcow2", qcow2(backing=b'json:{"driver":"file"}'), "backing_file"),
    "CVE-2024-32498": ("qcow2", qcow2_with_data_file(), "data_file"),
    "CVE-2024-32498 as raw": ("raw", qcow2_with_data_file(), "data_file"),
    "qcow2 from the future": ("qcow2", qcow2(incompatible=1 << 40), "unknown_features"),
    "the first feature that is unknown": ("qcow2", qcow2(incompatible=1 << 5), "unknown_features"),
    "extended L2 and a backing file": (
        "qcow2",
        qcow2(incompatible=1 << 4, backing=b"/etc/passwd"),
        "backing_file",
    ),
    "extended L2 and a data file": ("qcow2", qcow2(incompatible=1 << 4 | 1 << 2), "data_file"),
    "differencing VHD": ("vhd", vhd(4), "parent"),
    "differencing VHD as raw": ("raw", vhd(4), "parent"),
    "differencing VHD, dynamic at its start": ("vhd", vhd(3, at_the_end=4), "parent"),
    "differencing VHD, dynamic at its end": ("vhd", vhd(4, at_the_end=3), "parent"),
    "differencing VHD without a copy at its start": ("vhd", fixed_vhd(kind=4), "footer"),
    "differencing VHDX": ("vhdx", vhdx(PARENT_LOCATOR), "parent"),
    "differencing VHDX as raw": ("raw", vhdx(PARENT_LOCATOR), "parent"),
    "qcow2 in a fixed VHD": ("vhd", fixed_vhd(qcow2(backing=b"/etc/passwd")), "format"),
    "qcow2 of no fault in a fixed VHD": ("vhd", fixed_vhd(qcow2()), "format"),
    "vmdk in a fixed VHD": ("vhd", fixed_vhd(vmdk('RW 1 FLAT "/etc/passwd" 0', "monolithicFlat")), "format"),
    "VHDX in a fixed VHD": ("vhd", fixed_vhd(vhdx()), "format"),
    "LUKS in a fixed VHD": ("vhd", fixed_vhd(b"LUKS\xba\xbe\0\1"), "format"),
    "QED in a fixed VHD": ("vhd", fixed_vhd(b"QED\0"), "format"),
    "fixed VHD with a wrong checksum": ("vhd", fixed_vhd(checksum=1), "footer"),
    "fixed VHD that says more than it has": ("vhd", fixed_vhd(size=(256 * KIB) + 512), "footer"),
    "dynamic VHD without a copy at its start": ("vhd", fixed_vhd(kind=3), "footer"),
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
        service.parts.uploads._pipelines.clear()
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


PARTITION = struct.pack("<8BII", 0x80, 1, 1, 0, 0x83, 1, 1, 0, 2048, 4096)
MASTER_BOOT_RECORD = bytes(446) + PARTITION + bytes(48) + b"\x55\xaa"
HONEST = {
    "qcow2": ("qcow2", qcow2(), 10 << 20),
    "extended L2": ("qcow2", qcow2(incompatible=1 << 4), 10 << 20),
    "dynamic VHD": ("vhd", vhd(3), 10 << 20),
    "fixed VHD": ("vhd", fixed_vhd(b"\xeb\x63\x90"), 256 * KIB),
    "fixed VHD with partitions": ("vhd", fixed_vhd(MASTER_BOOT_RECORD), 256 * KIB),
    "VHDX": ("vhdx", vhdx(), 10 << 20),
}


@pytest.mark.parametrize("way", [upload, stage, in_one_piece, in_pieces], ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", HONEST)
async def test_an_honest_one_is_taken(service: Service, name: str, way: Way) -> None:
    """The same headers without the lie pass, so it is the lie that is refused."""
    disk_format, data, virtual_size = HONEST[name]
    body = {"disk_format": disk_format, "container_format": "bare"}
    image = f"/v2/images/{(await service.call('alice', 'POST', '/v2/images', json=body)).json()['id']}"
    status, text = await way(service, image, data)
    assert status in {201, 204}, text
    shown = (await service.call("alice", "GET", image)).json()
    if way is not stage:
        assert (shown["status"], shown["virtual_size"]) == ("active", virtual_size)
        assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
