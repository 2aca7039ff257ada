"""Import plugins: decompression, conversion, properties, and refusals."""

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_imports import begin, ended, new_image, show, staged, working

import web
from inprocess import Prepared, Service, running
from tintype.errors import Invalid, StartError
from tintype.plugins import convert
from tintype.plugins.base import Stream, Subject
from tintype.plugins.decompress import Decompress
from tintype.settings import ImageSettings, ImportSettings, Settings
from tintype.wiring.plugins import create_plugins

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = os.urandom(3 << 20) + bytes(2 << 20)


def zipped(*members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"disk{number}.raw", member)
    return made.getvalue()


PACKED = {
    "gzip": gzip.compress(DATA, 1),
    "gzip in two members": gzip.compress(DATA[: 1 << 20], 1) + gzip.compress(DATA[1 << 20 :], 1),
    "xz": lzma.compress(DATA, preset=0),
    "zstd": zstd.compress(DATA, options={zstd.CompressionParameter.checksum_flag: 1}),
    "bzip2": bz2.compress(DATA, 1),
    "zip": zipped(DATA),
    "nothing": DATA,
}


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def unpacked(data: bytes, folder: Path, size: int = 65_536, **limits: int) -> bytes:
    plugin = Decompress(**{"limit": 1 << 40, "ratio": 200, **limits})
    subject = Subject("id", "raw", "bare", {}, frozenset())
    stream = await plugin.apply(subject, Stream(chunks(data, size), len(data)), folder)
    return b"".join([chunk async for chunk in stream.chunks])


@pytest.mark.parametrize("size", [1 << 20, 65_536, 997])
@pytest.mark.parametrize("name", PACKED)
async def test_unpacking(name: str, size: int, tmp_path: Path) -> None:
    """Every kind comes out as it went in, however its bytes come."""
    assert await unpacked(PACKED[name], tmp_path, size) == DATA
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in PACKED if name != "nothing"])
async def test_broken_archives(name: str, tmp_path: Path) -> None:
    """What breaks off, or is damaged, is refused with a reason."""
    packed = PACKED[name]
    kind = name.partition(" ")[0]
    damaged = packed[:1000] + bytes(1000) + packed[2000:]
    ends = "is damaged" if kind == "zip" else r"ends after \d+ bytes"  # its table is at the end
    for broken, reason in ((packed[: len(packed) // 2], ends), (damaged, "is damaged")):
        with pytest.raises(Invalid, match=f"The image cannot be unpacked: its {kind} data {reason}"):
            await unpacked(broken, tmp_path)


async def test_an_encrypted_archive(tmp_path: Path) -> None:
    """It is not called damaged."""
    packed = bytearray(zipped(DATA))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.rindex(magic) + flags] |= 1
    with pytest.raises(Invalid, match="its zip data is encrypted"):
        await unpacked(bytes(packed), tmp_path)


async def test_zip_archives_that_are_refused(tmp_path: Path) -> None:
    """There is one image in an archive."""
    for archive in (zipped(b"one", b"two"), b"PK\x03\x04" + b"x" * 100):
        with pytest.raises(Exception, match=r"one file|unpacked"):
            await unpacked(archive, tmp_path)


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd", "bzip2", "zip"])
async def test_bombs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to very much is given up on the way, whatever it was packed with."""
    monkeypatch.setattr("tintype.plugins.decompress._FREE", 1 << 20)
    nothing = bytes(64 << 20)
    packed = {
        "gzip": lambda: gzip.compress(nothing),
        "xz": lambda: lzma.compress(nothing, preset=0),
        "zstd": lambda: zstd.compress(nothing),
        "bzip2": lambda: bz2.compress(nothing),
        "zip": lambda: zipped(nothing),
    }[name]()
    with pytest.raises(Exception, match="times its size"):
        await unpacked(packed, tmp_path)
    with pytest.raises(Exception, match="the limit"):
        await unpacked(packed, tmp_path, limit=8 << 20, ratio=1 << 30)
    assert list(tmp_path.iterdir()) == []


async def test_memory_that_an_archive_asks_for(tmp_path: Path) -> None:
    """An xz or zstd stream whose window is larger than we give is refused, not tried."""
    wanted = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    option: dict[int, int] = {
        zstd.CompressionParameter.window_log: 30,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    compressor = zstd.ZstdCompressor(options=option)
    large = compressor.compress(b"x" * 100_000) + compressor.flush()
    for kind, packed, most in (
        ("xz", lzma.compress(b"x" * 100_000, filters=wanted), 80),
        ("zstd", large, 128),
    ):
        with pytest.raises(Invalid, match=f"its {kind} data needs more than {most} MiB of memory"):
            await unpacked(packed, tmp_path)


def settings(*plugins: str, **more: Any) -> dict[str, Any]:
    return {"imports": ImportSettings(plugins=plugins, **more)}


async def imported(service: Service, data: bytes, **attributes: Any) -> tuple[str, dict[str, Any]]:
    image = await staged(service, data, **attributes)
    assert (await begin(service, image, "glance-direct")).status_code == 202
    return image, await ended(service, image, 60)


async def test_an_import_unpacks(prepared: Prepared, tmp_path: Path) -> None:
    """The image is what was inside, by size and digest; what is to stay packed does."""
    async with (
        running(prepared, tmp_path, **settings("decompress")) as service,
        working(service),
    ):
        image, task = await imported(service, PACKED["zstd"])
        assert task["status"] == "success", task["message"]
        assert (await show(service, image))["size"] == len(DATA)
        assert (await service.call("alice", "GET", f"{image}/file")).content == DATA
        image, task = await imported(service, PACKED["zstd"], container_format="compressed")
        assert (await show(service, image))["size"] == len(PACKED["zstd"])
        assert not list((service.folder / "scratch").iterdir())


async def test_an_import_injects(prepared: Prepared, tmp_path: Path) -> None:
    """Properties of the operator's are set, but for callers of some roles, and none of the service's own."""
    chosen = settings("inject", inject_properties={"site": "north", "os_glance_x": "no"})
    async with running(prepared, tmp_path, **chosen) as service, working(service):
        image, _ = await imported(service, b"x" * 600, site="south", kept="yes")
        shown = await show(service, image)
        assert (shown["site"], shown["kept"], "os_glance_x" in shown) == ("north", "yes", False)
        mine = await new_image(service, "admin")
        await service.call(
            "admin",
            "PUT",
            f"{mine}/stage",
            content=b"x",
            headers={"Content-Type": "application/octet-stream"},
        )
        await begin(service, mine, "glance-direct", "admin")
        await ended(service, mine)
        assert "site" not in await show(service, mine, "admin")


def made(folder: Path, data: bytes, kind: str, *options: str) -> bytes:
    (folder / "disk.raw").write_bytes(data)
    command = ["qemu-img", "convert", "-f", "raw", "-O", kind, *options, "disk.raw", f"disk.{kind}"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / f"disk.{kind}").read_bytes()


def qcow2(folder: Path, data: bytes) -> bytes:
    return made(folder, data, "qcow2")


@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize("target", ["raw", "vmdk"])
async def test_an_import_converts(prepared: Prepared, tmp_path: Path, target: str) -> None:
    """A qcow2 disk is of the operator's format afterwards, its digests those of what is stored."""
    disk = DATA[: 4 << 20]
    chosen = settings("decompress", "convert", convert_to=target)
    async with running(prepared, tmp_path, **chosen) as service, working(service):
        image, task = await imported(service, qcow2(tmp_path, disk), disk_format="qcow2")
        assert task["status"] == "success", task["message"]
        shown = await show(service, image)
        assert (shown["disk_format"], shown["virtual_size"]) == (target, len(disk))
        stored = (await service.call("alice", "GET", f"{image}/file")).content
        assert len(stored) == shown["size"]
        if target == "raw":
            assert stored == disk
        assert not list((service.folder / "scratch").iterdir())


@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize(
    ("disk_format", "kind", "options"),
    [
        ("qcow2", "qcow2", "extended_l2=on"),
        ("vhd", "vpc", "subformat=fixed,force_size=on"),
        ("vhd", "vpc", "subformat=dynamic,force_size=on"),
    ],
)
async def test_an_import_converts_what_an_upload_takes(
    prepared: Prepared, tmp_path: Path, disk_format: str, kind: str, options: str
) -> None:
    """Kinds of disk that only our own checks let through come out as the disk that went in."""
    disk = DATA[: 4 << 20]
    chosen = settings("convert", convert_to="raw")
    async with running(prepared, tmp_path, **chosen) as service, working(service):
        data = made(tmp_path, disk, kind, "-o", options)
        image, task = await imported(service, data, disk_format=disk_format)
        assert task["status"] == "success", task["message"]
        assert (await service.call("alice", "GET", f"{image}/file")).content == disk


def backing_file() -> bytes:
    header = bytearray(512)
    header[:8] = b"QFI\xfb" + struct.pack(">I", 2)
    struct.pack_into(">QIIQIIQ", header, 8, 104, 10, 16, 1 << 20, 0, 1, 0)
    header[104:114] = b"/etc/passw"
    return bytes(header) + bytes(8192)


def endless(folder: Path) -> bytes:
    """Give a disk of 4 EiB in a few kilobytes."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "huge.qcow2", "1T"], check=True, cwd=folder)
    data = bytearray((folder / "huge.qcow2").read_bytes())
    struct.pack_into(">Q", data, 24, 1 << 62)
    return bytes(data)


def encrypted(folder: Path) -> bytes:
    """Give a disk with LUKS inside."""
    secret = ("--object", "secret,id=key,data=secret", "-o", "encrypt.format=luks,encrypt.key-secret=key")
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *secret, "locked.qcow2", "1M"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "locked.qcow2").read_bytes()


@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo \"qemu-img: Could not open 'source': bad thing in '/srv/scratch/x'\" >&2; exit 1",
            "The disk cannot be converted: qemu-img reports: bad thing in ….",
        ),
        (
            "echo 'qemu-img: error while writing: No space left on device' >&2; exit 1",
            "The conversion failed: the disk of the folder for conversions is full.",
        ),
        ("exit 3", "The disk cannot be converted: qemu-img does not tell why."),
        ("kill -XCPU $$", "The conversion was stopped: it took more than 20 s of processor time"),
        ("kill -ABRT $$", "qemu-img ended with signal 6: the disk may be damaged."),
        ("kill -XFSZ $$", "The converted disk would have more than"),
    ],
)
async def test_why_a_conversion_failed(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    """What qemu-img says is told without paths; what ended it is told by its setting or limit."""
    tools = tmp_path / "bin"
    tools.mkdir()
    source = qcow2(tmp_path, DATA[: 1 << 20])
    (tools / "qemu-img").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    chosen = settings("convert", convert_seconds=20)
    async with running(prepared, tmp_path, **chosen) as service, working(service):
        _, task = await imported(service, source, disk_format="qcow2")
    assert task["message"].startswith(says), task["message"]


@pytest.mark.needs("qemu-img")
async def test_hostile_disks_are_not_converted(prepared: Prepared, tmp_path: Path) -> None:
    """Unsafe ones are refused before qemu-img sees them, too large or damaged ones within their limits."""
    limits = ImageSettings(size_limit=64 << 20, tolerated_format_checks=("format",))
    chosen = settings("convert", convert_seconds=20)
    damaged = bytearray(qcow2(tmp_path, DATA[: 4 << 20]))
    damaged[36:40] = struct.pack(">I", 0xFFFFFFFF)  # the table of its clusters is larger than any
    with web.serving(lambda request: request.give(hostile[request.path])) as server:
        hostile = {"/backing": backing_file(), "/endless": endless(tmp_path), "/damaged": bytes(damaged)}
        hostile["/encrypted"] = encrypted(tmp_path)
        chosen["imports"] = ImportSettings(
            plugins=("convert",),
            convert_seconds=20,
            allowed_networks=("127.0.0.0/8",),
            ports=(server.server_port,),
        )
        async with running(prepared, tmp_path, **chosen, images=limits) as service, working(service):
            for path, reason in (
                ("/backing", "backing"),
                ("/endless", "are allowed"),
                ("/damaged", "The disk cannot be converted: qemu-img reports: Active L1 table too large."),
                (
                    "/encrypted",
                    "The disk is encrypted (such as LUKS inside qcow2), so it cannot be converted.",
                ),
            ):
                image = await new_image(service, disk_format="qcow2")
                await begin(service, image, {"name": "web-download", "uri": f"{server.url}{path}"})
                task = await ended(service, image, 60)
                assert (task["status"], reason in task["message"]) == ("failure", True), task["message"]
                assert (await show(service, image))["status"] == "queued"
            assert not list((service.folder / "scratch").iterdir())


@pytest.mark.needs("qemu-img")
@pytest.mark.parametrize("name", ["neighbour", "made", "made/disk"])
async def test_qemu_img_has_no_other_file_beside_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Should a disk that names another file ever pass the checks: there is none in its folder."""
    monkeypatch.setattr(
        convert, "Inspector", lambda *_arguments: SimpleNamespace(feed=len, finish=lambda: None)
    )
    (tmp_path / "neighbour").write_bytes(b"canary" * 1000)
    disk = f"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW 8 FLAT "{name}" 0
""".encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield disk

    subject = Subject("an id", "vmdk", "bare", {}, frozenset())
    with pytest.raises(Invalid):
        await convert.Convert("raw", limit=1 << 30, seconds=60).apply(
            subject, Stream(chunks(), len(disk)), tmp_path
        )
    assert not any(b"canary" in path.read_bytes() for path in tmp_path.glob("*/*"))


@pytest.mark.needs("qemu-img")
async def test_a_conversion_without_end(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qemu-img that takes too long is ended with everything it started."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "qemu-img").write_text("#!/bin/sh\nsleep 1000\n")
    (tools / "qemu-img").chmod(0o755)
    source = qcow2(tmp_path, DATA[: 1 << 20])
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    chosen = settings("convert", convert_seconds=1)
    async with running(prepared, tmp_path, **chosen) as service, working(service):
        image, task = await imported(service, source, disk_format="qcow2")
        assert (task["status"], "took longer than 1 s (imports.convert_seconds)" in task["message"]) == (
            "failure",
            True,
        )
        assert (await show(service, image))["status"] == "queued"


def test_plugins_that_there_are_not() -> None:
    """A name that nothing stands for stops the start."""
    with pytest.raises(StartError, match=r"imports\.plugins: There is no import plugin 'nonsense'"):
        create_plugins(Settings(imports=ImportSettings(plugins=("nonsense",))))


def test_zlib_is_the_one_that_is_limited() -> None:
    """Our gzip takes no more at once than it is told to give."""
    from tintype.plugins.decompress import KINDS

    unpacker = KINDS[b"\x1f\x8b\x08"]()
    packed = gzip.compress(bytes(10 << 20))
    assert len(unpacker.decompress(packed, 1000)) == 1000
    assert not unpacker.needs_input
    assert zlib.crc32(unpacker.decompress(b"", 1000)) == zlib.crc32(bytes(1000))
