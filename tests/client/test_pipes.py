"""What is piped to `push` is labelled by what it is, in whatever pieces the pipe gives it."""

import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from clouds import Cloud
from processes import TINTYPE
from tintype.client import sniffing

ISO = bytes(0x8001) + b"CD001\x01" + bytes(3000)
HEADS = {
    "qcow2": b"QFI\xfb\x00\x00\x00\x03" + bytes(500),
    "iso": ISO,
    "vmdk": b"# Disk DescriptorFile\nversion=1\n",
    "vhdx": b"vhdxfile" + bytes(100),
    "vhd": b"conectix" + bytes(600),
    "vdi": bytes(0x40) + b"\x7f\x10\xda\xbe" + bytes(100),
    "raw": b"anything else",
}


class Pipe(io.RawIOBase):
    """Gives its bytes in pieces of these sizes, the last size over and over."""

    def __init__(self, data: bytes, *sizes: int) -> None:
        self._data = io.BytesIO(data)
        self._sizes = list(sizes)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, wanted: int = -1) -> bytes:
        size = self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0]
        return self._data.read(min(size, wanted) if wanted >= 0 else size)


@pytest.mark.parametrize("sizes", [(2,), (1, 7), (2048,), (32768, 6, 100), (1 << 20,)])
@pytest.mark.parametrize("kind", HEADS)
def test_pieces_of_any_size(kind: str, sizes: tuple[int, ...]) -> None:
    """The format is seen, and every byte is sent once."""
    data = HEADS[kind] + os.urandom(100_000)
    head, rest = sniffing.read_head(Pipe(data, *sizes))  # type: ignore[arg-type]
    assert sniffing.format_of(head) == kind
    assert b"".join(rest) == data


def test_what_can_be_read_again(tmp_path: Path) -> None:
    """A redirected file is sent as a file, from where it stands."""
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + HEADS["qcow2"])
    with path.open("rb") as file:
        file.seek(7)
        head, source = sniffing.read_head(file)
        assert source is file
        assert (sniffing.format_of(head), file.tell()) == ("qcow2", 7)
    head, source = sniffing.read_head(Pipe(b"", 5))  # type: ignore[arg-type]
    assert (head, list(source)) == (b"", [])


@pytest.mark.parametrize("redirected", [False, True])
def test_the_command(redirected: bool, cloud: Cloud, tmp_path: Path) -> None:
    """Two bytes first, and an ISO's first sector next, make no `raw`."""
    data = ISO + os.urandom(200_000)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds),
        "OS_CLOUD": "alice",
    }
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        process = subprocess.Popen(
            [TINTYPE, "image", "push", "-", "--name", "piped", "-f", "json"],
            stdin=file if redirected else subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        pieces = () if process.stdin is None else (data[:2], data[2:2048], data[2048:40_000], data[40_000:])
        for piece in pieces:
            process.stdin.write(piece)  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        said, _ = process.communicate(timeout=60)
    made = json.loads(said)
    assert (made["disk_format"], made["size"], made["status"]) == ("iso", len(data), "active")
    subprocess.run([TINTYPE, "image", "delete", made["id"]], env=environment, check=True)
