"""Positioned reads and writes for threads, and file locks, with POSIX calls and without."""

import contextlib
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import IO, Final

_fcntl: ModuleType | None = None
_msvcrt: ModuleType | None = None
with contextlib.suppress(ImportError):
    import fcntl as _fcntl
with contextlib.suppress(ImportError):
    import msvcrt as _msvcrt
_POSITIONED: Final = hasattr(os, "pwrite") and hasattr(os, "preadv")
_LOCKED_BYTE: Final = 1 << 30
"""Offset of the byte to lock on Windows: beyond the data, because others cannot read locked bytes."""
REPLACES_OPEN_FILES: Final = os.name != "nt"
"""Whether a file may be renamed or deleted while it is open."""


def open_file(path: Path, flags: int) -> int:
    """Open a file in binary mode; do not follow links if the system supports that."""
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def lock(file: IO[str]) -> None:
    """Lock a file until it is closed; raises BlockingIOError if another process has locked it."""
    if _fcntl is not None:
        _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    elif _msvcrt is not None:
        at = file.tell()
        os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
        try:
            _msvcrt.locking(file.fileno(), _msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
        finally:
            os.lseek(file.fileno(), at, os.SEEK_SET)


class Positioned:
    """A file with positioned reads and writes, for concurrent threads."""

    def __init__(self, descriptor: int) -> None:
        """Wrap an open file; `close` closes it."""
        self.descriptor = descriptor
        self._moving = threading.Lock()

    def write(self, data: memoryview, at: int) -> int:
        """Write bytes; return how many were written, which may be fewer when the disk fills up."""
        if _POSITIONED:
            return os.pwrite(self.descriptor, data, at)
        with self._moving:
            os.lseek(self.descriptor, at, os.SEEK_SET)
            return os.write(self.descriptor, data)

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Read into a buffer; return the number of bytes, 0 at the end."""
        if _POSITIONED:
            return os.preadv(self.descriptor, [buffer], at)
        with self._moving:
            os.lseek(self.descriptor, at, os.SEEK_SET)
            data = os.read(self.descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)
