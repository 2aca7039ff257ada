"""Files that threads write and read at places of their own, and locks; with POSIX calls and without."""

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
"""Where Windows locks a byte: beyond all that is written, because nobody else could read it."""
REPLACES_OPEN_FILES: Final = os.name != "nt"
"""Whether a file may be renamed or deleted while it is open."""


def open_file(path: Path, flags: int) -> int:
    """Open a file for bytes; a link is not followed where the system can tell."""
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def lock(file: IO[str]) -> None:
    """Lock a file until it is closed; raises BlockingIOError where another process has it locked."""
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
    """An open file that is written and read at places; threads may do so at once."""

    def __init__(self, descriptor: int) -> None:
        """Take the file; it is closed by `close`."""
        self.descriptor = descriptor
        self._moving = threading.Lock()

    def write(self, data: memoryview, at: int) -> int:
        """Write bytes; returns how many were taken, as a disk that fills up takes a part first."""
        if _POSITIONED:
            return os.pwrite(self.descriptor, data, at)
        with self._moving:
            os.lseek(self.descriptor, at, os.SEEK_SET)
            return os.write(self.descriptor, data)

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Fill a buffer; returns how many bytes came, 0 behind the end."""
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
