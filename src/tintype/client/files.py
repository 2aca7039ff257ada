"""Bytes on this side: what is sent, and the file that a download grows in."""

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
"""Bytes that are read for sending at a time: larger pieces cost fewer calls, and no more than this each."""
_MAGIC: Final = "tintype-download-1"
"""What a log begins with."""
_HASHED: Final = 8 << 20
"""Bytes that are hashed at a time: for each time the thread waits for the interpreter's lock."""
_BLOCK: Final = 1 << 16
"""Zeros are looked for in runs of so many bytes."""
_ZEROS: Final = bytes(_BLOCK)

Bytes = str | os.PathLike[str] | bytes | IO[bytes] | Iterable[bytes]
"""What may be sent: a path, bytes, an open file, or pieces as they come."""


def hasher(algorithm: str) -> "hashlib._Hash":
    """Begin a digest; raises ClientError for an algorithm that is not known here, or has no fixed length."""
    try:
        made = hashlib.new(algorithm, usedforsecurity=False)
        if made.digest_size:
            return made
    except (ValueError, TypeError):
        pass
    raise errors.ClientError(f"Digests by {algorithm!r} cannot be checked here.")


class GivenUp(errors.ClientError):
    """The download was given up."""


class Source:
    """Bytes to send. `size` is None where it is not known before the end."""

    def __init__(self, given: Bytes, size: int | None = None) -> None:
        """Take them; a file is read from where it stands. Raises OSError for a path that cannot be read."""
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
        """Whether they can be read again from any place."""
        self._start = self._file.tell() if self.again and self._file is not None else 0
        self.size = size
        if self.size is None and self.again and self._file is not None:
            self.size = self._file.seek(0, os.SEEK_END) - self._start
            self._file.seek(self._start)

    @property
    def label(self) -> str:
        """Name this file in this state, so that who comes back knows it; empty for what is no file."""
        name = getattr(self._file, "name", None)
        if not self.again or not isinstance(name, str):
            return ""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stat = os.fstat(self._file.fileno())  # type: ignore[union-attr]
            told = f"{Path(name).resolve()}\0{self._start}\0{stat.st_size}\0{stat.st_mtime_ns}"
            return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()
        return ""

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Give the bytes from `start` on, at most `size` of them."""
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
        """Hash the whole; gives hex."""
        made = hasher(algorithm)
        for piece in self.pieces():
            made.update(piece)
        return made.hexdigest()

    def close(self) -> None:
        """Close what was opened here."""
        if self._opened and self._file is not None:
            self._file.close()


class PartFile:
    """A file that grows in any order, and remembers what it has beyond the end of this process.

    `name.part` has the bytes, with holes for zeros; `name.part.log` says whose they are and, line by line,
    which ranges arrived. Who holds the log's lock is the only one to write. Threads may write at once.
    """

    def __init__(self, target: Path, size: int, label: str) -> None:
        """Open it; what an earlier process left of the same bytes (`label`) is kept.

        Raises OSError: a `name.part` that no download made is not touched. Raises ClientError where
        another download is at work on it.
        """
        self.size = size
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._log_path = self._part.with_name(self._part.name + ".log")
        self._changed = threading.Condition()
        self._ranges: list[tuple[int, int]] = []
        self._given_up = False
        self._users = 0
        head = f"{_MAGIC} {label} {size}\n"
        self._log = _locked(self._log_path)
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
            self._ranges = _noted(lines[1:])
        else:
            if there:  # what was cut to nothing once, ext4 writes out when it is closed
                os.ftruncate(self._file.descriptor, 0)
            self._log.seek(0)
            self._log.truncate()
            self._note(head)
        os.ftruncate(self._file.descriptor, size)

    @property
    def done(self) -> int:
        """Give how many bytes are there."""
        with self._changed:
            return sum(end - start for start, end in self._ranges)

    def missing(self, longest: int) -> Iterator[tuple[int, int]]:
        """Give the ranges that lack now, none longer than `longest`."""
        with self._changed:
            edges = [*self._ranges, (self.size, self.size)]
        position = 0
        for start, end in edges:
            yield from ((at, min(at + longest, start)) for at in range(position, start, longest))
            position = end

    def write(self, start: int, data: bytes) -> None:
        """Put bytes at their place; where they are zeros a hole does. Raises GivenUp once it is."""
        with self._used():
            for begin, end in _not_zero(data):
                at = begin
                while at < end:
                    at += self._file.write(memoryview(data)[at:end], start + at)
        with self._changed:
            if self._given_up:
                raise GivenUp
            self._ranges = _merged([*self._ranges, (start, start + len(data))])
            self._note(f"{start} {start + len(data)}\n")
            self._changed.notify_all()

    def digest(self, algorithm: str) -> str:
        """Hash the whole from its beginning, as it grows: waits for what lacks. For a thread of its own.

        Raises GivenUp once it is.
        """
        made = hasher(algorithm)
        buffer = memoryview(bytearray(min(_HASHED, self.size)))
        position = 0
        while position < self.size:
            wanted = buffer[: self.size - position]
            with self._changed:
                while self._grown(position) < position + len(wanted) and not self._given_up:
                    self._changed.wait()
            with self._used():
                read = self._file.read_into(wanted, position)
            if not read:
                raise errors.CommunicationError(f"{self._part} became shorter.")
            made.update(wanted[:read])
            position += read
        return made.hexdigest()

    def finish(self) -> None:
        """Make it the file that was wanted."""
        if not REPLACES_OPEN_FILES:
            self.close()
        self._part.replace(self._target)
        self._log_path.unlink()

    def discard(self) -> None:
        """Delete what arrived: it is not what it should be."""
        if not REPLACES_OPEN_FILES:
            self.close()
        self._part.unlink()
        self._log_path.unlink()

    def close(self) -> None:
        """Give it up, or be done with it; what arrived stays. Once closed nothing is written or read."""
        with self._changed:
            if self._given_up:
                return
            self._given_up = True
            self._changed.notify_all()
            self._log.close()
            if not self._users:
                self._file.close()

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        """Keep the file open while a thread reads or writes, which others need not wait for."""
        with self._changed:
            if self._given_up:
                raise GivenUp
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if self._given_up and not self._users:
                    self._file.close()

    def _grown(self, position: int) -> int:
        return next((end for start, end in self._ranges if start <= position < end), position)

    def _note(self, line: str) -> None:
        self._log.write(line)
        self._log.flush()


def _locked(path: Path) -> IO[str]:
    """Open a log, locked; raises ClientError where somebody else has it."""
    while True:
        log = os.fdopen(open_file(path, os.O_RDWR | os.O_CREAT), "r+", newline="\n")
        try:
            lock(log)
            if os.fstat(log.fileno()).st_ino == path.stat().st_ino:
                return log
        except FileNotFoundError:
            pass  # its download ended between opening and locking
        except BlockingIOError:
            log.close()
            raise errors.ClientError(f"Another download is writing {path.with_suffix('')}.") from None
        log.close()


def _noted(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Read which ranges arrived; a line that was not written to its end says nothing."""
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
    """Give the runs of blocks that are not all zeros."""
    begin = 0
    for at in range(0, len(data), _BLOCK):
        if data.startswith(_ZEROS[: len(data) - at], at):
            if begin < at:
                yield begin, at
            begin = min(at + _BLOCK, len(data))
    if begin < len(data):
        yield begin, len(data)


class Hashing:
    """Hashes a growing file beside the growing, in a thread."""

    def __init__(self, part: PartFile, algorithm: str) -> None:
        """Begin."""
        self._made: Future[str] = Future()
        threading.Thread(target=self._run, args=(part, algorithm), name="tintype-hash", daemon=True).start()

    def result(self) -> str:
        """Wait for the digest in hex; raises what went wrong."""
        return self._made.result()

    def _run(self, part: PartFile, algorithm: str) -> None:
        try:
            self._made.set_result(part.digest(algorithm))
        except BaseException as failure:  # noqa: BLE001  whoever waits for the result gets it
            self._made.set_exception(failure)


def _seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False
