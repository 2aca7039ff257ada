"""Real disk images from qemu-img: formats are detected, dangerous images refused."""

import json
import random
import struct
import subprocess
from pathlib import Path

import httpx2
import pytest

from inprocess import Prepared, Service, running
from tintype.settings import ImageSettings

pytestmark = pytest.mark.needs("qemu-img")
MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}


def qemu_img(*arguments: str | Path) -> bytes:
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True).stdout


def make(path: Path, disk_format: str, *options: str) -> bytes:
    qemu_img("create", "-q", "-f", disk_format, *options, path, "10M")
    return path.read_bytes()


async def upload(
    service: Service, disk_format: str, data: bytes
) -> tuple[httpx2.Response, dict[str, object]]:
    body = {"disk_format": disk_format, "container_format": "bare"}
    url = f"/v2/images/{(await service.call('alice', 'POST', '/v2/images', json=body)).json()['id']}"
    answer = await service.call("alice", "PUT", f"{url}/file", content=data, headers=BINARY)
    return answer, (await service.call("alice", "GET", url)).json()


@pytest.mark.parametrize(
    ("made_as", "disk_format", "options"),
    [
        ("qcow2", "qcow2", ()),
        ("qcow2", "qcow2", ("-o", "compat=0.10")),
        ("qcow2", "qcow2", ("-o", "compression_type=zstd")),
        ("qcow2", "qcow2", ("-o", "extended_l2=on")),
        ("qcow2", "qcow2", ("-o", "extended_l2=on,cluster_size=128k,compression_type=zstd")),
        ("qcow2", "qcow2", ("-o", "lazy_refcounts=on,refcount_bits=64,preallocation=metadata")),
        ("vmdk", "vmdk", ("-o", "subformat=streamOptimized")),
        ("vmdk", "vmdk", ("-o", "subformat=monolithicSparse")),
        ("vdi", "vdi", ()),
        ("vdi", "vdi", ("-o", "static=on")),
        ("vhdx", "vhdx", ()),
        ("vhdx", "vhdx", ("-o", "subformat=fixed")),
        ("vpc", "vhd", ("-o", "force_size=on")),
        ("vpc", "vhd", ("-o", "subformat=fixed,force_size=on")),
        ("raw", "raw", ()),
    ],
)
async def test_formats_are_recognised(
    service: Service, tmp_path: Path, made_as: str, disk_format: str, options: tuple[str, ...]
) -> None:
    """Each format is taken as what it is, with the size of the disk inside; as another one it is refused."""
    data = make(tmp_path / "disk", made_as, *options)
    answer, image = await upload(service, disk_format, data)
    assert answer.status_code == 204, answer.text
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), 10 * MIB)
    answer, image = await upload(service, "iso", data)
    assert answer.status_code == 415
    assert "does not match" in answer.json()["error"]["message"]
    assert (image["status"], image["size"]) == ("queued", None)


def disk() -> bytes:
    """Give a disk of 8 MiB with a partition table and something in it, as an installed one has."""
    data = bytearray(8 * MIB)
    data[446:462] = struct.pack("<8BII", 0x80, 1, 1, 0, 0x83, 1, 1, 0, 2048, 4096)
    data[510:512] = b"\x55\xaa"
    data[MIB : MIB + 300_000] = random.Random(1).randbytes(300_000)
    return bytes(data)


@pytest.mark.parametrize(
    ("made_as", "disk_format", "options"),
    [
        ("qcow2", "qcow2", ("-c",)),
        ("qcow2", "qcow2", ("-c", "-o", "compression_type=zstd")),
        ("qcow2", "qcow2", ("-c", "-o", "extended_l2=on,cluster_size=128k,compression_type=zstd")),
        ("vmdk", "vmdk", ("-o", "subformat=streamOptimized")),
        ("vmdk", "vmdk", ("-o", "subformat=streamOptimized,compat6=on")),
        ("vhdx", "vhdx", ()),
        ("vdi", "vdi", ()),
        ("vpc", "vhd", ("-o", "subformat=dynamic,force_size=on")),
        ("vpc", "vhd", ("-o", "subformat=fixed,force_size=on")),
        ("vpc", "vhd", ("-o", "subformat=fixed")),
    ],
)
async def test_installed_disks_are_taken(
    service: Service, tmp_path: Path, made_as: str, disk_format: str, options: tuple[str, ...]
) -> None:
    """What qemu-img makes of an installed disk is taken, and comes back bit for bit."""
    source, path = tmp_path / "source", tmp_path / "disk"
    source.write_bytes(disk())
    qemu_img("convert", "-f", "raw", "-O", made_as, *options, source, path)
    data = path.read_bytes()
    answer, image = await upload(service, disk_format, data)
    assert answer.status_code == 204, answer.text
    told = json.loads(qemu_img("info", "--output=json", "-f", made_as, path))
    assert (image["status"], image["virtual_size"]) == ("active", told["virtual-size"])
    assert (await service.call("alice", "GET", f"/v2/images/{image['id']}/file")).content == data


async def test_a_qcow2_with_bitmaps_is_taken(service: Service, tmp_path: Path) -> None:
    """What backup tools leave behind in a disk is no reference to anything outside it."""
    make(tmp_path / "disk", "qcow2")
    qemu_img("bitmap", "--add", tmp_path / "disk", "backup")
    answer, image = await upload(service, "qcow2", (tmp_path / "disk").read_bytes())
    assert answer.status_code == 204, answer.text
    assert image["virtual_size"] == 10 * MIB


def hybrid() -> bytes:
    """Give an ISO image with a partition table in front, as installers are, to be written to a stick."""
    data = bytearray(disk()[:512]).ljust(MIB, b"\0")
    data[32 << 10 : (32 << 10) + 7] = b"\x01CD001\x01"
    data[(32 << 10) + 80 : (32 << 10) + 84] = struct.pack("<I", MIB >> 11)
    data[(32 << 10) + 128 : (32 << 10) + 130] = struct.pack("<H", 2048)
    return bytes(data)


@pytest.mark.parametrize("disk_format", ["iso", "raw"])
async def test_hybrids_are_what_they_are_called(service: Service, disk_format: str) -> None:
    """An installer with a partition table may be called an ISO, or the raw disk that it is written to."""
    answer, image = await upload(service, disk_format, hybrid())
    assert answer.status_code == 204, answer.text
    assert (image["status"], image["virtual_size"]) == ("active", MIB)


async def test_a_backing_file_is_refused_by_name(service: Service, tmp_path: Path) -> None:
    """A qcow2 that names a file of the host as its base is refused, and the check is named."""
    make(tmp_path / "base", "qcow2")
    data = make(tmp_path / "disk", "qcow2", "-b", str(tmp_path / "base"), "-F", "qcow2")
    answer, image = await upload(service, "qcow2", data)
    assert answer.status_code == 415
    assert "backing_file" in answer.json()["error"]["message"]
    assert image["status"] == "queued"
    assert list((service.folder / "images" / "partial").iterdir()) == []


async def test_a_data_file_is_refused_by_name(service: Service, tmp_path: Path) -> None:
    """So is one that keeps its data in another file of the host (CVE-2024-32498)."""
    data = make(tmp_path / "disk", "qcow2", "-o", f"data_file={tmp_path / 'external'}")
    answer, _ = await upload(service, "qcow2", data)
    assert answer.status_code == 415
    assert "data_file" in answer.json()["error"]["message"]


async def test_a_flat_vmdk_is_refused(service: Service, tmp_path: Path) -> None:
    """A vmdk descriptor that names extents on the host is no image (CVE-2022-47951)."""
    data = make(tmp_path / "disk.vmdk", "vmdk", "-o", "subformat=monolithicFlat")
    answer, _ = await upload(service, "vmdk", data)
    assert answer.status_code == 415


async def test_a_header_that_says_too_much_is_refused(service: Service, tmp_path: Path) -> None:
    """A disk of 16 exabytes is a mistake of whoever made the header, not of the database."""
    data = bytearray(make(tmp_path / "disk", "qcow2"))
    data[24:32] = b"\xff" * 8
    answer, image = await upload(service, "qcow2", bytes(data))
    assert answer.status_code == 415
    assert image["status"] == "queued"


async def test_checks_may_only_warn(
    prepared: Prepared, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With every check tolerated the bytes are taken, and the log warns of each that failed."""
    async with running(prepared, tmp_path, images=ImageSettings(tolerated_format_checks=("all",))) as service:
        answer, image = await upload(service, "qcow2", b"this is no qcow2")
        assert answer.status_code == 204
        assert (image["status"], image["virtual_size"]) == ("active", None)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    (warned,) = [line for line in lines if line["event"] == "format check"]
    assert (warned["level"], warned["image_id"]) == ("warning", image["id"])
    assert "qcow2" in warned["finding"]
