"""Progress bars around what is read, on standard output if that is a terminal."""

import sys
from typing import Any, Final

_WIDTH: Final = 29


class _Bar:
    """Passes everything on to what it wraps, and counts what is read."""

    def __init__(self, wrapped: Any, totalsize: float) -> None:
        """Wrap a file or an iterator that has `totalsize` bytes in all."""
        self._wrapped = wrapped
        self._totalsize = float(totalsize)
        self._read = 0
        self._shown = sys.stdout.isatty() and self._totalsize != 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def _advance(self, count: int) -> None:
        if self._shown:
            self._read += count
            part = self._read / self._totalsize
            bar = f"{'=' * round(part * _WIDTH)}>"
            sys.stdout.write(f"\r[{bar:<{_WIDTH + 1}}] {part:.0%}")
            sys.stdout.flush()

    def _end(self) -> None:
        if self._shown:
            sys.stdout.write("\n")


class VerboseFileWrapper(_Bar):
    """A file that shows how much of it was read."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read from the file."""
        data = self._wrapped.read(*args, **kwargs)
        if data:
            self._advance(len(data))
        else:
            self._end()
        return data


class VerboseIteratorWrapper(_Bar):
    """An iterator over bytes that shows how many have come."""

    def __iter__(self) -> "VerboseIteratorWrapper":
        return self

    def __next__(self) -> Any:
        try:
            data = next(self._wrapped)
        except StopIteration:
            self._end()
            raise
        self._advance(len(data))
        return data

    next = __next__
