"""Local data: the source of an upload, and the partial file of a download."""

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final, cast

from tintype.client import errors
from tintype.client.file_access import REPLACES_OPEN_FILES, Positioned, lock, open_file

PIECE: Final = 1 << 20
_SENT: Final = 4 << 20
"""Bytes to read and send at a time: larger chunks save calls."""
_MAGIC: Final = "tintype-download-1"
"""The first word of a log."""
_HASHED: Final = 8 << 20
"""Bytes to hash at a time: each call waits for the interpreter's lock."""
_BLOCK: Final = 1 << 16
"""Size of the blocks that are checked for zeros."""
_ZEROS: Final = bytes(_BLOCK)

Bytes = str | os.PathLike[str] | bytes | IO[bytes] | Iterable[bytes]
"""Data to upload: a path, bytes, an open file, or an iterable of chunks."""


def hasher(algorithm: str) -> "hashlib._Hash":
    """Create a hash object; raises ClientError if the algorithm is unknown, or has no fixed length."""
    try:
        made = hashlib.new(algorithm, usedforsecurity=False)
        if made.digest_size:
            return made
    except (ValueError, TypeError):
        pass
    raise errors.ClientError(f"Digests with the algorithm {algorithm!r} cannot be checked.")


class Aborted(errors.ClientError):
    """The download was aborted."""


class Source:
    """Data to upload. `size` is None if it is not known before the end."""

    def __init__(self, given: Bytes, size: int | None = None) -> None:
        """Open the data; a file object is read from its position. Raises OSError for an unreadable path."""
        self._given: Any = given
        self._opened = isinstance(given, str | os.PathLike)
        self._file: IO[bytes] | None = None
        if isinstance(given, str | os.PathLike):
            self._file = Path(given).open("rb")  # noqa: SIM115  closed by close()
        elif isinstance(given, bytes | bytearray | memoryview):
            self._file = io.BytesIO(given)
        elif hasattr(given, "read"):
            self._file = cast("IO[bytes]", given)
        self.again = self._file is not None and _seekable(self._file)
        """Whether the data can be read again from any offset."""
        self._start = self._file.tell() if self.again and self._file is not None else 0
        self.size = size
        if self.size is None and self.again and self._file is not None:
            self.size = self._file.seek(0, os.SEEK_END) - self._start
            self._file.seek(self._start)

    @property
    def label(self) -> str:
        """Return a label of this file and its state, to recognise its upload later; empty for other data."""
        name = getattr(self._file, "name", None)
        if not self.again or not isinstance(name, str):
            return ""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stat = os.fstat(self._file.fileno())  # type: ignore[union-attr]
            state = f"{Path(name).resolve()}\0{self._start}\0{stat.st_size}\0{stat.st_mtime_ns}"
            return hashlib.sha256(state.encode(errors="surrogateescape")).hexdigest()
        return ""

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Yield the data from offset `start`, at most up to `size`."""
        if self._file is None:
            yield from self._given
            return
        if self.again:
            self._file.seek(self._start + start)
        left = None if self.size is None else self.size - start
        while left is None or left > 0:
            piece = self._file.read(_SENT if left is None else min(_SENT, left))
            if not piece:
                return
            yield piece
            if left is not None:
                left -= len(piece)

    def digest(self, algorithm: str) -> str:
        """Return the digest of all the data, in hex."""
        made = hasher(algorithm)
        for piece in self.pieces():
            made.update(piece)
        return made.hexdigest()

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._opened and self._file is not None:
            self._file.close()


class PartFile:
    """The partial file of a download: filled in any order, and resumable by a later process.

    `name.part` has the data, with holes for zeros; `name.part.log` has the label and, line by line, the
    ranges that have arrived. Only the process that locks the log writes; its threads may write concurrently.
    """

    def __init__(self, target: Path, size: int, label: str) -> None:
        """Open it; keep the ranges of an earlier process with the same `label`.

        Raises OSError if a `name.part` exists that no download created. Raises ClientError if another
        download is using it.
        """
        self.size = size
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._log_path = self._part.with_name(self._part.name + ".log")
        self._changed = threading.Condition()
        self._ranges: list[tuple[int, int]] = []
        self._closed = False
        self._users = 0
        head = f"{_MAGIC} {label} {size}\n"
        self._log = _open_locked(self._log_path)
        try:
            lines = self._log.read().splitlines(keepends=True)
            ours = bool(lines) and lines[0].startswith(_MAGIC)
            flags = os.O_RDWR | os.O_CREAT | (0 if ours else os.O_EXCL)
            self._file = Positioned(open_file(self._part, flags))
        except BaseException:
            self._log.close()
            raise
        there = os.fstat(self._file.descriptor).st_size
        if ours and lines[0] == head and there == size:
            self._ranges = _parse_log(lines[1:])
        else:
            if there:  # only if needed: ext4 flushes a file on close once it was truncated to nothing
                os.ftruncate(self._file.descriptor, 0)
            self._log.seek(0)
            self._log.truncate()
            self._append_log(head)
        os.ftruncate(self._file.descriptor, size)

    @property
    def done(self) -> int:
        """Return the number of bytes that have arrived."""
        with self._changed:
            return sum(end - start for start, end in self._ranges)

    def missing(self, longest: int) -> Iterator[tuple[int, int]]:
        """Yield the missing ranges, in parts of at most `longest` bytes."""
        with self._changed:
            edges = [*self._ranges, (self.size, self.size)]
        position = 0
        for start, end in edges:
            yield from ((at, min(at + longest, start)) for at in range(position, start, longest))
            position = end

    def write(self, start: int, data: bytes) -> None:
        """Write bytes at an offset; leave holes for zeros. Raises Aborted after `close`."""
        with self._keep_open():
            for begin, end in _not_zero(data):
                at = begin
                while at < end:
                    at += self._file.write(memoryview(data)[at:end], start + at)
        with self._changed:
            if self._closed:
                raise Aborted
            self._ranges = _merged([*self._ranges, (start, start + len(data))])
            self._append_log(f"{start} {start + len(data)}\n")
            self._changed.notify_all()

    def digest(self, algorithm: str) -> str:
        """Return the digest of the whole file; wait for missing ranges. For a thread of its own.

        Raises Aborted after `close`.
        """
        made = hasher(algorithm)
        buffer = memoryview(bytearray(min(_HASHED, self.size)))
        position = 0
        while position < self.size:
            wanted = buffer[: self.size - position]
            with self._changed:
                while self._end_of_range(position) < position + len(wanted) and not self._closed:
                    self._changed.wait()
            with self._keep_open():
                read = self._file.read_into(wanted, position)
            if not read:
                raise errors.CommunicationError(f"{self._part} became shorter.")
            made.update(wanted[:read])
            position += read
        return made.hexdigest()

    def finish(self) -> None:
        """Rename it to the target file."""
        if not REPLACES_OPEN_FILES:
            self.close()
        self._part.replace(self._target)
        self._log_path.unlink()

    def discard(self) -> None:
        """Delete it: the data is wrong."""
        if not REPLACES_OPEN_FILES:
            self.close()
        self._part.unlink()
        self._log_path.unlink()

    def close(self) -> None:
        """Close it and abort reads and writes; the data stays."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            self._log.close()
            if not self._users:
                self._file.close()

    @contextlib.contextmanager
    def _keep_open(self) -> Iterator[None]:
        """Keep the file open while a thread reads or writes, without blocking other threads."""
        with self._changed:
            if self._closed:
                raise Aborted
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if self._closed and not self._users:
                    self._file.close()

    def _end_of_range(self, position: int) -> int:
        return next((end for start, end in self._ranges if start <= position < end), position)

    def _append_log(self, line: str) -> None:
        self._log.write(line)
        self._log.flush()


def _open_locked(path: Path) -> IO[str]:
    """Open and lock a log; raises ClientError if another process has locked it."""
    while True:
        log = os.fdopen(open_file(path, os.O_RDWR | os.O_CREAT), "r+", newline="\n")
        try:
            lock(log)
            if os.fstat(log.fileno()).st_ino == path.stat().st_ino:
                return log
        except FileNotFoundError:
            pass  # its download finished between open and lock
        except BlockingIOError:
            log.close()
            raise errors.ClientError(f"Another download is writing {path.with_suffix('')}.") from None
        log.close()


def _parse_log(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Return the ranges in a log; ignore an incomplete line."""
    whole = [line.split() for line in lines if line.endswith("\n")]
    return _merged([(int(start), int(end)) for start, end in whole])


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _not_zero(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the runs of blocks that are not all zeros."""
    begin = 0
    for at in range(0, len(data), _BLOCK):
        if data.startswith(_ZEROS[: len(data) - at], at):
            if begin < at:
                yield begin, at
            begin = min(at + _BLOCK, len(data))
    if begin < len(data):
        yield begin, len(data)


class Hashing:
    """Hashes a partial file in a thread, while it is downloaded."""

    def __init__(self, part: PartFile, algorithm: str) -> None:
        """Start the thread."""
        self._made: Future[str] = Future()
        threading.Thread(target=self._run, args=(part, algorithm), name="tintype-hash", daemon=True).start()

    def result(self) -> str:
        """Wait for the digest and return it in hex; raises the thread's error."""
        return self._made.result()

    def _run(self, part: PartFile, algorithm: str) -> None:
        try:
            self._made.set_result(part.digest(algorithm))
        except BaseException as failure:  # noqa: BLE001  raised by result()
            self._made.set_exception(failure)


def _seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False
