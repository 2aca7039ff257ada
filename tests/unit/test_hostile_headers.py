"""Disks that refer to other files according to QEMU are refused: hand-made and generated headers.

The many are made of true and hostile disks by a generator with a seed. `qemu-img info` looks at each beside a
file that it may open: where it names any file but the disk itself, the inspector must have refused the disk.
"""

import itertools
import json
import os
import random
import re
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tintype.errors import UnsupportedMedia
from tintype.formats import Inspector

KIB, MIB = 1 << 10, 1 << 20
OTHER = "canary"
"""A file beside each disk, of all formats that can be referred to."""
SPARSE = 'RW 2048 SPARSE "disk.vmdk"'
FLAT = f'RW 2048 FLAT "{OTHER}" 0'
GENERATED = 2400 if os.environ.get("REQUIRE") == "all" else 320
SEED = 20260


def descriptor(*lines: str) -> bytes:
    return "\n".join(("# Disk DescriptorFile", "version=1", *lines, "")).encode()


def honest_lines(kind: str = "monolithicSparse") -> tuple[str, ...]:
    return ("CID=fffffffe", "parentCID=ffffffff", f'createType="{kind}"', SPARSE, 'ddb.adapterType = "ide"')


def vmdk(text: bytes, *, capacity: int = 2048, version: int = 1, place: int = 1, size: int = 20) -> bytes:
    """Return a sparse disk with a descriptor, which may be shorter than what its header says."""
    fields = (b"KDMV", version, 3, capacity, 128, place, size, 512, 21, 26, 128, 0, b"\n \r\n", 0)
    head = struct.pack("<4sIIQQQQIQQQB4sH", *fields)
    data = bytearray(head.ljust(512, b"\0") + text.ljust(20 * 512, b"\0")).ljust(128 * KIB, b"\0")
    if place > 1:
        data[place * 512 : place * 512 + len(text)] = text
    return bytes(data)


def stream(text: bytes, *, footer_capacity: int = 2048) -> bytes:
    """Return a stream-optimised disk: its footer stands in for the header."""
    at_end = 0xFFFFFFFFFFFFFFFF

    def header(capacity: int, directory: int) -> bytes:
        fields = (b"KDMV", 3, 0x30001, capacity, 128, 1, 20, 512, 0, directory, 128, 0, b"\n \r\n", 1)
        return struct.pack("<4sIIQQQQIQQQB4sH", *fields).ljust(512, b"\0")

    body = header(2048, at_end) + text.ljust(20 * 512, b"\0") + bytes(107 * 512)
    marker = struct.pack("<QII496x", 1, 0, 3)
    return body + marker + header(footer_capacity, 26) + bytes(512)


def vdi(kind: int = 1, *, link: bytes = bytes(16)) -> bytes:
    head = bytearray(b"<<< QEMU VM Virtual Disk Image >>>\n".ljust(64, b"\0")).ljust(512, b"\0")
    struct.pack_into("<IIIII", head, 0x40, 0xBEDA107F, 0x00010001, 0x180, kind, 0)
    struct.pack_into("<IIIIIIIQIIII", head, 0x154, 512, 1024, 0, 0, 0, 512, 0, MIB, MIB, 0, 1, 0)
    head[0x188:0x198] = b"\x01" * 16
    head[0x1A8:0x1B8] = link
    return bytes(head).ljust(1024, b"\xff").ljust(64 * KIB, b"\0")


def qcow2(
    *, version: int = 3, length: int = 104, backing: bytes = b"", features: int = 0, more: bytes = b""
) -> bytes:
    place = length + len(more) + 8 if backing else 0
    fields = (b"QFI\xfb", version, place, len(backing), 16, MIB, 0, 1, 3 << 16, 1 << 16, 1, 0, 0)
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", *fields, features, 0, 0, 4, length)
    data = bytearray((head + more + bytes(8) + backing).ljust(256 * KIB, b"\0"))
    data[1 << 16 : (1 << 16) + 8] = struct.pack(">Q", 2 << 16)
    data[2 << 16 : (2 << 16) + 8] = struct.pack(">4H", 1, 1, 1, 1)
    return bytes(data)


def footer(kind: int, size: int = MIB) -> bytes:
    start = 0xFFFFFFFFFFFFFFFF if kind == 2 else 512
    fields = (b"conectix", 2, 1 << 16, start, 0, b"test", 0, b"Wi2k", size, size, 0, kind)
    data = bytearray(struct.pack(">8sIIQI4sI4sQQII", *fields)).ljust(512, b"\0")
    data[64:68] = struct.pack(">I", ~sum(data) & 0xFFFFFFFF)
    return bytes(data)


def vhd(*, parent: str = "", size_at_end: int = MIB) -> bytes:
    dynamic = bytearray(struct.pack(">8sQQIII", b"cxsparse", 0xFFFFFFFFFFFFFFFF, 1536, 1 << 16, 1, 2 << 20))
    dynamic = dynamic.ljust(1024, b"\0")
    name = parent.encode("utf-16-be")
    dynamic[64 : 64 + len(name)] = name
    dynamic[36:40] = struct.pack(">I", ~sum(dynamic) & 0xFFFFFFFF)
    return footer(3) + bytes(dynamic) + b"\xff" * 512 + footer(3, size_at_end)


def vhdx_header(sequence: int, *, log: bool = False, sound: bool = True) -> bytes:
    fields = (b"head", 0, sequence, b"f" * 16, b"d" * 16, b"l" * 16 * log, 0, 1, MIB, MIB)
    data = bytearray(struct.pack("<4sIQ16s16s16sHHIQ", *fields)).ljust(4096, b"\0")
    checksum = crc32c(data) if sound else 1
    data[4:8] = struct.pack("<I", checksum)
    return bytes(data)


def crc32c(data: bytes | bytearray) -> int:
    found = 0xFFFFFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        found = found >> 1 ^ (0x82F63B78 if (found ^ bit) & 1 else 0)
    return found ^ 0xFFFFFFFF


def vhdx(*headers: bytes, other_table: bool = False, twice: bool = False, has_metadata: bool = True) -> bytes:
    metadata_id = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
    data = bytearray(3 * MIB)
    data[:8] = b"vhdxfile"
    entry = metadata_id + struct.pack("<QII", 2 * MIB, MIB, 1)
    count = (1 + twice) * has_metadata
    table = struct.pack("<4sIII", b"regi", 0, count, 0) + entry * count
    for at, header in zip((64 * KIB, 128 * KIB), headers, strict=False):
        data[at : at + len(header)] = header
    for at in (192 * KIB, 256 * KIB):
        data[at : at + len(table)] = table
    data[256 * KIB + 40] ^= other_table
    at = 2 * MIB
    data[at : at + 12] = struct.pack("<8sHH", b"metadata", 0, 1)
    size_id = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
    data[at + 32 : at + 60] = size_id + struct.pack("<III", 64 * KIB, 8, 4)
    data[at + 64 * KIB : at + 64 * KIB + 8] = struct.pack("<Q", MIB)
    return bytes(data)


def flat(*lines: str) -> tuple[str, ...]:
    """Return an honest descriptor with a flat one behind it, or the lines given."""
    return (*lines, 'createType="monolithicFlat"', "CID=fffffffe", "parentCID=ffffffff", FLAT)


HOSTILE = {
    "a comment that says sparse": ("vmdk", descriptor(*flat('# createtype="monolithicSparse"'))),
    "a comment, in a disk of capacity 0": (
        "vmdk",
        vmdk(descriptor(*flat('#createtype="monolithicSparse"')), capacity=0),
    ),
    "capacity 0 of an honest one": ("vmdk", vmdk(descriptor(*honest_lines()), capacity=0)),
    "capacity 0, descriptor elsewhere": ("vmdk", vmdk(descriptor(*flat()), capacity=0, place=40)),
    "capacity 0, version 0": ("vmdk", vmdk(descriptor(*flat()), capacity=0, version=0)),
    "two createTypes": ("vmdk", vmdk(descriptor(*honest_lines(), 'createType="monolithicFlat"'))),
    "two createTypes, other letters": ("vmdk", vmdk(descriptor('CREATETYPE="vmfs"', *honest_lines()))),
    "a createType in a comment": ("vmdk", vmdk(descriptor('# createType="vmfs"', *honest_lines()))),
    "a createType behind a NUL": (
        "vmdk",
        vmdk(descriptor(*honest_lines()) + b'\0createType="monolithicFlat"\n'),
    ),
    "a createType with spaces": ("vmdk", vmdk(descriptor('createType = "vmfs"', *honest_lines()))),
    "a NUL before the descriptor": ("vmdk", vmdk(b"\0" + descriptor(*honest_lines()))),
    "a parent by name": ("vmdk", vmdk(descriptor(*honest_lines(), f'parentFileNameHint="{OTHER}"'))),
    "a parent by name, in a comment": (
        "vmdk",
        vmdk(descriptor(*honest_lines(), f'#parentFileNameHint="{OTHER}"')),
    ),
    "a parent behind a short descriptor": (
        "vmdk",
        vmdk(
            descriptor(*honest_lines()).ljust(1024, b"\n") + f'parentFileNameHint="{OTHER}"'.encode(), size=2
        ),
    ),
    "a parent by number": ("vmdk", vmdk(descriptor(*honest_lines()).replace(b"ffffffff", b"12345678"))),
    "two parents by number": ("vmdk", vmdk(descriptor(*honest_lines(), "parentCID=12345678"))),
    "a flat extent": ("vmdk", vmdk(descriptor(*honest_lines()).replace(SPARSE.encode(), FLAT.encode()))),
    "a second extent": ("vmdk", vmdk(descriptor(*honest_lines(), FLAT))),
    "an extent on a raw device": ("vmdk", vmdk(descriptor(*honest_lines(), 'RW 1 VMFSRDM "sda"'))),
    "an extent in another folder": (
        "vmdk",
        vmdk(descriptor(*honest_lines()).replace(b'"disk', b'"..\\\\disk')),
    ),
    "changed blocks kept elsewhere": (
        "vmdk",
        vmdk(descriptor(*honest_lines(), 'changeTrackPath="x-ctk.vmdk"')),
    ),
    "a footer of another disk": (
        "vmdk",
        stream(descriptor(*honest_lines("streamOptimized")), footer_capacity=9),
    ),
    "a descriptor alone": ("vmdk", descriptor(*flat())),
    "a descriptor alone, with a letter beyond ASCII": ("vmdk", "# ü\n".encode() + descriptor(*flat())),
    "a descriptor alone, with a letter beyond ASCII further on": (
        "vmdk",
        descriptor(*flat()).ljust(600, b"\n") + "# ü".encode(),
    ),
    "a descriptor alone, after carriage returns": ("vmdk", b"\r\n#a\rb\n \n" + descriptor(*flat())[23:]),
    "an ESX disk with a parent": (
        "vmdk",
        (b"COWD" + struct.pack("<IIIIIII", 1, 3, 2048, 1, 4, 1, 0)).ljust(512, b"\0")
        + f'parentFileNameHint="{OTHER}"'.encode().ljust(64 * KIB, b"\0"),
    ),
    "a VDI with a parent": ("vdi", vdi(link=b"\x02" * 16)),
    "a differencing VDI": ("vdi", vdi(4)),
    "a VHD with a parent's name": ("vhd", vhd(parent=OTHER)),
    "a VHD of two sizes": ("vhd", vhd(size_at_end=2 * MIB)),
    "two region tables": ("vhdx", vhdx(other_table=True)),
    "two regions of metadata": ("vhdx", vhdx(twice=True)),
    "a VHDX with a log": ("vhdx", vhdx(vhdx_header(1), vhdx_header(2, log=True))),
    "a VHDX with a log in its first header": ("vhdx", vhdx(vhdx_header(2, log=True), vhdx_header(1))),
    "a VHDX with a log behind a header that is not sound": (
        "vhdx",
        vhdx(vhdx_header(1, log=True), vhdx_header(2, sound=False)),
    ),
    "a VHDX with a log in a header that is not sound": (
        "vhdx",
        vhdx(vhdx_header(1), vhdx_header(2, log=True, sound=False)),
    ),
    "a VHDX with a log in one of two equal headers": (
        "vhdx",
        vhdx(vhdx_header(1, log=True), vhdx_header(1)),
    ),
    "a VHDX whose log brings the metadata": (
        "vhdx",
        vhdx(vhdx_header(1), vhdx_header(2, log=True), has_metadata=False),
    ),
    "a qcow2 whose header has no length": ("qcow2", qcow2(length=0)),
    "a qcow2 whose header has an odd length": ("qcow2", qcow2(length=107)),
    "a short qcow2": ("qcow2", qcow2(backing=OTHER.encode())[:200]),
}
HONEST = {
    "sparse VMDK": ("vmdk", vmdk(descriptor(*honest_lines()))),
    "sparse VMDK, Windows lines": ("vmdk", vmdk(descriptor(*honest_lines()).replace(b"\n", b"\r\n"))),
    "stream-optimised VMDK": ("vmdk", stream(descriptor(*honest_lines("streamOptimized")))),
    "VDI": ("vdi", vdi()),
    "static VDI": ("vdi", vdi(2)),
    "VHD": ("vhd", vhd()),
    "VHDX": ("vhdx", vhdx()),
    "VHDX with headers": ("vhdx", vhdx(vhdx_header(1), vhdx_header(2))),
    "VHDX that was closed after its log was used": (
        "vhdx",
        vhdx(vhdx_header(2), vhdx_header(1, log=True)),
    ),
    "qcow2": ("qcow2", qcow2()),
    "longer qcow2 header": ("qcow2", qcow2(length=112, more=bytes(8))),
    "qcow2 of version 2": ("qcow2", qcow2(version=2, length=0)),
    "text with a letter beyond ASCII": ("raw", b"a line\n" * 100 + "ü".encode() + b"\n" * 100),
    "text": ("raw", b"version=1 of a text\n" * 100),
}


def is_refused(disk_format: str, data: bytes) -> bool:
    inspector = Inspector(disk_format, frozenset(), lambda _finding: None)
    inspector.feed(data)
    try:
        inspector.finish()
    except UnsupportedMedia:
        return True
    return False


@pytest.mark.parametrize("declared", ["its own", "raw"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name: str, declared: str) -> None:
    """Whatever it is declared to be: who guesses the format would follow the reference."""
    disk_format, data = HOSTILE[name]
    assert is_refused("raw" if declared == "raw" else disk_format, data)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_header_is_taken(name: str) -> None:
    """The same without the lie."""
    disk_format, data = HONEST[name]
    assert not is_refused(disk_format, data)


def test_no_header_makes_the_inspector_fail() -> None:
    """Whatever the bytes are, they are taken or refused: an exception would be an error of ours."""
    chance = random.Random(SEED)
    bases = [each for each in (*HOSTILE.values(), *HONEST.values()) if len(each[1]) < MIB]
    for number in range(600):
        disk_format, data = bases[number % len(bases)]
        is_refused(chance.choice((disk_format, "raw")), mutated(chance, data))


QEMU = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
_OPENED = re.compile(r"[Cc]ould not open '([^']*)'|[Ff]ailed to (?:open|get) [^']*'([^']*)'")


def others_seen(path: Path, *options: str) -> set[str]:
    """Return the files beside a disk that QEMU names or tries to open when it looks at the disk."""
    command = ["qemu-img", "info", "--output=json", *options, path.name]
    done = subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, check=False, errors="replace"
    )
    named = {next(filter(None, match.groups()), "") for match in _OPENED.finditer(done.stderr)}
    if OTHER in done.stderr:
        named.add(OTHER)
    if done.returncode == 0:
        told = json.loads(done.stdout)
        specific = told.get("format-specific", {}).get("data", {})
        named |= {told.get("backing-filename"), specific.get("data-file")}
        named |= {extent.get("filename") for extent in specific.get("extents", ())}
        named |= {child["info"].get("filename") for child in told.get("children", ())}
    return named - {None, "", path.name, f"./{path.name}"}


def true_disks(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Make disks by qemu-img itself, with and without references to another file."""

    def make(*options: str) -> bytes:
        path = folder / "made"
        subprocess.run(["qemu-img", "create", "-q", *options], cwd=folder, check=True)
        return path.read_bytes()

    yield "qcow2", make("-f", "qcow2", "made", "1M")
    yield "qcow2", make("-f", "qcow2", "-o", "compat=0.10", "made", "1M")
    yield "qcow2", make("-f", "qcow2", "-b", OTHER, "-F", "raw", "made", "1M")
    yield "qcow2", make("-f", "qcow2", "-o", "data_file=other-data", "made", "1M")
    for kind in ("monolithicSparse", "streamOptimized", "monolithicFlat"):
        yield "vmdk", make("-f", "vmdk", "-o", f"subformat={kind}", "made", "1M")
    yield "vmdk", make("-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "made", "1M")
    yield "vdi", make("-f", "vdi", "made", "1M")
    yield "vhd", make("-f", "vpc", "made", "1M")
    yield "vhdx", make("-f", "vhdx", "made", "1M")


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Change some bytes where headers are: single ones, whole numbers, and words that formats know."""
    changed = bytearray(data)
    words: tuple[bytes, ...] = (
        b'createType="monolithicFlat"\n',
        b'createtype="monolithicSparse"\n',
        f"{FLAT}\n".encode(),
    )
    words += (
        f'parentFileNameHint="{OTHER}"\n'.encode(),
        b"parentCID=ffffffff\n",
        b"#",
        b"\n",
        b"\0",
        b"\r\n",
    )
    words += (OTHER.encode(), b"KDMV", b"COWD", b"QFI\xfb", b"conectix", b"version=1\n")
    numbers = (0, 1, 2, 3, 4, 40, 104, 512, 2**32 - 1)
    for _ in range(chance.randint(1, 4)):
        near = min(len(changed), chance.choice((16, 112, 512, 2048, 11 * KIB)))
        at = chance.randrange(near)
        match chance.randrange(5):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                size = chance.choice((4, 8))
                order = chance.choice(("little", "big"))
                at -= at % 4
                changed[at : at + size] = (chance.choice(numbers) % 256**size).to_bytes(size, order)
            case 2:
                word = chance.choice(words)
                changed[at : at + len(word)] = word
            case 3:
                word = chance.choice(words)
                changed[at:at] = word
            case 4:
                start = changed.find(b"\n", at, 11 * KIB) + 1
                word = chance.choice(words)
                changed[start : start + chance.choice((0, len(word)))] = word
    return bytes(changed)


@pytest.mark.needs("qemu-img")
@pytest.mark.needs("time")
def test_what_qemu_takes_for_a_reference_is_refused(tmp_path: Path) -> None:
    """Of generated headers none that makes QEMU name another file passes, as its own format or as raw."""
    chance = random.Random(SEED)
    for name in (OTHER, "base.vmdk", "other-data"):
        (tmp_path / name).write_bytes(b"\0" * MIB)
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "base.vmdk", "1M"], cwd=tmp_path, check=True)
    bases = [*true_disks(tmp_path), *HOSTILE.values(), *HONEST.values()]

    def look(case: tuple[int, str, bytes]) -> tuple[bool, str, set[str]]:
        number, disk_format, data = case
        path = tmp_path / f"disk-{number}"
        path.write_bytes(data)
        guessed = others_seen(path)
        own = others_seen(path, "-f", QEMU[disk_format]) if disk_format in QEMU else set()
        path.unlink()
        taken = [name for name in sorted({disk_format, "raw"}) if not is_refused(name, data)]
        # what is declared raw is read as raw or guessed, what is declared otherwise is read as that, too
        seen = (guessed if taken else set()) | (own if disk_format in taken else set())
        return bool(guessed | own), f"{disk_format} {number}, taken as {taken}", seen

    def cases() -> Iterator[tuple[int, str, bytes]]:
        for number in range(GENERATED):
            disk_format, data = bases[number % len(bases)]
            yield number, disk_format, data if number < len(bases) else mutated(chance, data)

    referring, missed, waiting = 0, [], cases()
    with ThreadPoolExecutor(4) as threads:
        while some := list(itertools.islice(waiting, 64)):
            for refers, where, seen in threads.map(look, some):
                referring += refers
                missed += [(where, seen)] if seen else []
    print(f"{GENERATED} headers, {referring} of which refer to other files for QEMU, {len(missed)} taken")
    assert missed == []
    assert referring > GENERATED // 20
