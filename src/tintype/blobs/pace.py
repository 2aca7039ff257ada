"""How fast a source gives bytes, by the time for which it is waited for.

So a store of ours that is slow to take them is not held against the source.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from tintype.blobs.reading import closing
from tintype.errors import Invalid, TintypeError

_FLOOR_SECONDS: Final = 60.0
"""Over which the slowest rate is measured."""
_RECENT_SECONDS: Final = 3.0
"""Over which the present rate is measured."""


def _refuse_source(measured: str) -> TintypeError:
    return Invalid(f"The source is too slow: it gave {measured} (imports.slowest_rate).")


class Pace:
    """Measures a source, and refuses one that gives fewer bytes a second than `slowest`."""

    def __init__(self, slowest: int, refuse: Callable[[str], TintypeError] = _refuse_source) -> None:
        """Start measuring; `refuse` makes the error of the rate that was measured and the one required."""
        self._slowest = slowest
        self._refuse = refuse
        self._floor = _Window()
        self._recent = _Window()
        self._rate: float | None = None
        self._since: float | None = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as spent waiting for the source."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            waited, self._since = time.monotonic() - self._since, None
            self._floor.seconds += waited
            self._recent.seconds += waited

    def note(self, count: int) -> None:
        """Count bytes that came; raises the error of `refuse` where they come too slowly."""
        self._floor.bytes += count
        self._recent.bytes += count
        if self._recent.seconds >= _RECENT_SECONDS:
            self._rate, self._recent = self._recent.rate, _Window()
        if self._floor.seconds >= _FLOOR_SECONDS:
            if self._floor.rate < self._slowest:
                raise self._refuse(
                    f"{self._floor.rate:.0f} bytes a second over {self._floor.seconds:.0f} s; "
                    f"at least {self._slowest} are required"
                )
            self._floor = _Window()

    def end(self) -> None:
        """Note that nothing more is expected of the source."""
        self._rate, self._recent = None, _Window()

    @property
    def rate(self) -> float | None:
        """Bytes a second over the last few seconds; None at the beginning, and once the source has ended."""
        now = time.monotonic()
        seconds = self._recent.seconds + (0.0 if self._since is None else now - self._since)
        return self._recent.bytes / seconds if seconds >= _RECENT_SECONDS else self._rate


class _Window:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.bytes = 0

    @property
    def rate(self) -> float:
        return self.bytes / self.seconds


async def paced(chunks: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """Return the chunks of a source that is measured; raises what `pace` does where they come too slowly."""
    async with closing(chunks):
        while True:
            with pace.waiting():
                chunk = await anext(chunks, None)
            if chunk is None:
                pace.end()
                return
            pace.note(len(chunk))
            yield chunk
