"""Converts imported disks to a configured format with qemu-img: inspected bytes only, in a sandbox.

The bytes are written to a local file and inspected on the way. qemu-img then runs without network, under
limits on memory, time and output (`unshare` and `prlimit` of util-linux), and is told the format that was
found. The disk is alone in its folder and cannot be written to, so a name inside it leads to nothing there.
What qemu-img makes is inspected by the import like anything else.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from tintype.blobs.cancellation import shielded
from tintype.blobs.stream import Chunks, in_thread, run_pipeline
from tintype.errors import Invalid, OverLimit, StartError, Unavailable, UnsupportedMedia
from tintype.formats import Inspector
from tintype.plugins.base import Stream, Subject, available_scratch, read_file, write_scratch

_QEMU: Final = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""qemu-img's names for the disk formats."""
_MEMORY: Final = 1 << 30
_OUTPUT: Final = 64 << 10
"""Bytes of qemu-img's output that are kept."""
_SAID: Final = 200
"""Characters of it that are shown."""
_ENCRYPTED: Final = re.compile(r"key-secret' is required|encrypt|AES-encrypted", re.IGNORECASE)
_NO_MEMORY: Final = ("Cannot allocate memory", "Could not allocate", "Resource temporarily unavailable")
_FILES: Final = re.compile(r"^(?:Could not open '[^']*'|[^:]*: error while converting \w+): ")
_PATHS: Final = re.compile(r"'[^']*/[^']*'|\S*/\S*")


class Convert:
    """Converts disks of other formats to the format `target`."""

    def __init__(self, target: str, *, limit: int, seconds: int) -> None:
        """Create it, for disks of at most `limit` bytes; raises StartError if a program is missing."""
        missing = [name for name in ("qemu-img", "prlimit", "unshare") if shutil.which(name) is None]
        if missing:
            raise StartError(f"The import plugin 'convert' needs {missing[0]}: apt-get install qemu-utils.")
        tried = subprocess.run([*_sandboxed(), "true"], capture_output=True, check=False)  # noqa: S603 (ours)
        if tried.returncode != 0:
            raise StartError(
                "The import plugin 'convert' runs qemu-img in a separate network namespace, which it may not "
                "create. In systemd, set RestrictNamespaces=user net."
            )
        self._target = target
        self._limit = limit
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:
        """Return the converted disk; one that already has the format passes unchanged."""
        if subject.disk_format in {self._target, "iso"} or subject.container_format != "bare":
            return stream  # also what is not a boot disk
        if subject.disk_format not in _QEMU:
            raise UnsupportedMedia(
                f"Disks of the format {subject.disk_format} cannot be converted; convertible formats: "
                f"{', '.join(_QEMU)}."
            )
        source, made = scratch / "source" / "disk", scratch / "made" / "disk"
        for path in (source, made):
            await in_thread(path.parent.mkdir, mode=0o700)
        await self._write_source(subject, stream, source)
        await in_thread(source.chmod, 0o400)
        async with self._turn:  # each may use all the space and memory available
            await self._run(_QEMU[subject.disk_format], source, made)
        await in_thread(source.unlink)
        subject.disk_format = self._target
        return Stream(read_file(made), made.stat().st_size)

    async def _write_source(self, subject: Subject, stream: Stream, source: Path) -> None:
        """Write the bytes to a file; raises UnsupportedMedia if they do not have the declared format."""
        no_check_is_let_pass: frozenset[str] = frozenset()
        inspector = Inspector(subject.disk_format, no_check_is_let_pass, lambda _finding: None)
        with source.open("wb", buffering=0) as file:

            async def write(data: memoryview) -> None:
                if file.tell() + len(data) > self._limit:
                    raise OverLimit(f"The image exceeds the limit of {self._limit} bytes.")
                await in_thread(write_scratch, file.fileno(), data)

            await run_pipeline(Chunks(stream.chunks), write, [inspector.feed], stream.size)
        virtual_size = inspector.finish()
        if virtual_size is not None and virtual_size > self._limit:
            raise OverLimit(
                f"The virtual disk of the image has {virtual_size} bytes; at most {self._limit} are allowed."
            )

    async def _run(self, kind: str, source: Path, made: Path) -> None:
        """Run qemu-img until it ends or its time is up."""
        most = min(self._limit, available_scratch(source.parent))
        limits = (f"--as={_MEMORY}", f"--cpu={self._seconds}", f"--fsize={most}", "--core=0")
        command = (*_sandboxed(), "prlimit", *limits, "qemu-img", "convert", "-f", kind, "-O", self._target)
        process = await asyncio.create_subprocess_exec(
            *command,
            source.name,
            f"../{made.parent.name}/{made.name}",
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
                said = await _read_tail(process.stderr)
                status = await process.wait()
        except TimeoutError:
            raise Invalid(
                f"The conversion took longer than {self._seconds} s (imports.convert_seconds)."
            ) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await shielded(process.wait())
        if status != 0:
            self._explain(status, said.decode(errors="replace"), made, most)

    def _explain(self, status: int, said: str, made: Path, most: int) -> None:
        """Raise an error that explains why qemu-img failed."""
        if "unshare" in said[:20]:
            raise Unavailable("qemu-img cannot be run: the host does not allow a separate network namespace.")
        if (
            status == -signal.SIGXFSZ
            or "File too large" in said
            or (made.exists() and made.stat().st_size >= most)
        ):
            bound = (
                "the limit of an image"
                if most == self._limit
                else "all the room in the folder for conversions"
            )
            raise OverLimit(f"The converted disk would have more than {most} bytes, {bound}.")
        if "No space left" in said:
            raise OverLimit("The conversion failed: the disk of the folder for conversions is full.")
        if status in {-signal.SIGXCPU, -signal.SIGKILL}:
            raise OverLimit(
                f"The conversion was stopped: it took more than {self._seconds} s of processor time "
                "(imports.convert_seconds), or the host ran out of memory."
            )
        if any(words in said for words in _NO_MEMORY):
            raise OverLimit(f"The conversion exceeds the limit of {_MEMORY >> 20} MiB of memory.")
        if status < 0:
            raise Invalid(f"qemu-img ended with signal {-status}: the disk may be damaged.")
        if _ENCRYPTED.search(said):
            raise UnsupportedMedia(
                "The disk is encrypted (such as LUKS inside qcow2), so it cannot be converted."
            )
        raise Invalid(f"The disk cannot be converted: {_reason(said)}.")


def _reason(said: str) -> str:
    """Return qemu-img's own reason, without file names."""
    lines = [line for line in said.splitlines() if line.startswith("qemu-img: ")]
    text = _FILES.sub("", lines[-1].removeprefix("qemu-img: ")) if lines else ""
    text = _PATHS.sub("…", "".join(each for each in text if " " <= each <= "~")).strip(" .")
    return f"qemu-img reports: {text[:_SAID]}" if text else "qemu-img does not tell why"


def _sandboxed() -> tuple[str, ...]:
    """Return the command prefix that runs a command without network, as root or not."""
    return ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


async def _read_tail(said: asyncio.StreamReader) -> bytes:
    """Return the first `_OUTPUT` bytes of a program's output, and discard the rest."""
    kept = b""
    while part := await said.read(_OUTPUT):
        kept = (kept + part)[:_OUTPUT]
    return kept
