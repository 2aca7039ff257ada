"""Real disk images, made by qemu-img: what they are is recognised, what is dangerous is refused."""

import subprocess
from pathlib import Path

import httpx2
import pytest

from inprocess import Prepared, Service, running
from tintype.settings import ImageSettings

pytestmark = pytest.mark.needs("qemu-img")
MIB = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}


def make(path: Path, disk_format: str, *options: str) -> bytes:
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, *options, path, "10M"], check=True)
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
        ("vmdk", "vmdk", ("-o", "subformat=streamOptimized")),
        ("vmdk", "vmdk", ("-o", "subformat=monolithicSparse")),
        ("vdi", "vdi", ()),
        ("vhdx", "vhdx", ()),
        ("vpc", "vhd", ("-o", "force_size=on")),
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


async def test_checks_may_only_warn(prepared: Prepared, tmp_path: Path) -> None:
    """With every check tolerated the bytes are taken, and the log tells of them."""
    async with running(prepared, tmp_path, images=ImageSettings(tolerated_format_checks=("all",))) as service:
        answer, image = await upload(service, "qcow2", b"this is no qcow2")
        assert answer.status_code == 204
        assert (image["status"], image["virtual_size"]) == ("active", None)
