"""Converts imported disks to the format that an operator wants, by qemu-img: on looked-at bytes, in a cage.

The bytes are written to a local file and inspected on the way. qemu-img then runs without network, under
limits on memory, time and output (`unshare` and `prlimit` of util-linux), and is told the format that was
found. What it makes is inspected by the import like anything else.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from tintype.blobs.ends import to_the_end
from tintype.blobs.stream import Chunks, in_thread, pump
from tintype.errors import Invalid, OverLimit, StartError, Unavailable, UnsupportedMedia
from tintype.formats import Inspector
from tintype.plugins.base import Stream, Subject, of_file, room_for_scratch, write_scratch

TARGETS: Final = ("raw", "qcow2", "vmdk")
_QEMU: Final = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""What qemu-img calls the disk formats that it knows."""
_MEMORY: Final = 1 << 30
_OUTPUT: Final = 64 << 10
"""Bytes of what qemu-img says that are read."""


class Convert:
    """Makes disks of other formats into one of `target`."""

    def __init__(self, target: str, *, limit: int, seconds: int) -> None:
        """Make it, for disks of at most `limit` bytes; raises StartError where a program is missing."""
        missing = [name for name in ("qemu-img", "prlimit", "unshare") if shutil.which(name) is None]
        if missing:
            raise StartError(f"The import plugin 'convert' needs {missing[0]}: apt-get install qemu-utils.")
        tried = subprocess.run([*_alone(), "true"], capture_output=True, check=False)  # noqa: S603 (ours)
        if tried.returncode != 0:
            raise StartError(
                "The import plugin 'convert' runs qemu-img in a network namespace of its own, and can make "
                "none here (in systemd: RestrictNamespaces=user net)."
            )
        self._target = target
        self._limit = limit
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:
        """Give the converted disk; one that has the format already passes as it is."""
        if subject.disk_format in {self._target, "iso"} or subject.container_format != "bare":
            return stream  # what is no disk to boot a server from, too
        if subject.disk_format not in _QEMU:
            raise UnsupportedMedia(f"Disks of the format {subject.disk_format} cannot be converted.")
        source, made = scratch / "source", scratch / "made"
        await self._take(subject, stream, source)
        async with self._turn:  # each may take all the room and memory that there is
            await self._run(_QEMU[subject.disk_format], source, made)
        await in_thread(source.unlink)
        subject.disk_format = self._target
        return Stream(of_file(made), made.stat().st_size)

    async def _take(self, subject: Subject, stream: Stream, source: Path) -> None:
        """Write the bytes to a file; raises UnsupportedMedia where they are not what they are said to be."""
        no_check_is_let_pass: frozenset[str] = frozenset()
        inspector = Inspector(subject.disk_format, no_check_is_let_pass, lambda _finding: None)
        with source.open("wb", buffering=0) as file:

            async def write(data: memoryview) -> None:
                if file.tell() + len(data) > self._limit:
                    raise OverLimit(f"The image has more than the {self._limit} bytes that are allowed.")
                await in_thread(write_scratch, file.fileno(), data)

            await pump(Chunks(stream.chunks), write, [inspector.feed], stream.size)
        virtual_size = inspector.finish()
        if virtual_size is not None and virtual_size > self._limit:
            raise OverLimit(f"The disk inside has {virtual_size} bytes; {self._limit} are allowed.")

    async def _run(self, kind: str, source: Path, made: Path) -> None:
        """Run qemu-img to its end, or to the end of its time."""
        most = min(self._limit, room_for_scratch(source.parent))
        limits = (f"--as={_MEMORY}", f"--cpu={self._seconds}", f"--fsize={most}", "--core=0")
        command = (*_alone(), "prlimit", *limits, "qemu-img", "convert", "-f", kind, "-O", self._target)
        process = await asyncio.create_subprocess_exec(
            *command,
            source.name,
            made.name,
            cwd=source.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "MALLOC_ARENA_MAX": "2"},
        )
        assert process.stderr is not None  # noqa: S101 (a pipe was asked for)
        try:
            async with asyncio.timeout(self._seconds):
                said = await _read(process.stderr)
                status = await process.wait()
        except TimeoutError:
            raise Invalid(f"The conversion takes longer than {self._seconds} s.") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await to_the_end(process.wait())
        if status != 0:
            self._explain(status, said.decode(errors="replace"), made, most)

    def _explain(self, status: int, said: str, made: Path, most: int) -> None:
        if "unshare" in said[:20]:
            raise Unavailable("Conversions cannot be shut off from the network on this host.")
        if made.exists() and made.stat().st_size >= most:
            raise OverLimit(f"The converted disk has more than the {most} bytes that there is room for.")
        if status < 0 or "No space left" in said:
            raise OverLimit("The conversion needs more memory, time or room than it is given.")
        raise Invalid("The disk cannot be converted: qemu-img finds it damaged.")


def _alone() -> tuple[str, ...]:
    """Give the command that runs another one without network, as whoever we are."""
    return ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


async def _read(said: asyncio.StreamReader) -> bytes:
    """Give what a program says, the end of it thrown away where that is much."""
    kept = b""
    while part := await said.read(_OUTPUT):
        kept = (kept + part)[:_OUTPUT]
    return kept
