"""The rate of a source, measured over the time spent waiting for it.

So a slow store does not count against the source, and neither does the time in which a connection is opened
or broken.
"""

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from tintype.blobs.reading import closing
from tintype.errors import Invalid, TintypeError

_WINDOW_SECONDS: Final = 60.0
"""The period over which the rate is measured."""


def _refuse_source(measured: str) -> TintypeError:
    return Invalid(f"The source is too slow: it sent {measured} (imports.min_source_rate).")


class Pace:
    """Measures a source across all its connections; rejects one slower than `min_rate` bytes per second."""

    def __init__(self, min_rate: int, refuse: Callable[[str], TintypeError] = _refuse_source) -> None:
        """Start measuring; `refuse` makes the error from a text with the measured and the required rate."""
        self._min_rate = min_rate
        self._refuse = refuse
        self._seconds = 0.0
        self._bytes = 0

    def record(self, count: int, seconds: float) -> None:
        """Record bytes received after so many seconds; raise the error of `refuse` if the rate is too low."""
        self._seconds += seconds
        self._bytes += count
        if self._seconds < _WINDOW_SECONDS:
            return
        rate = self._bytes / self._seconds
        if rate < self._min_rate:
            raise self._refuse(
                f"{rate:.0f} bytes a second over {self._seconds:.0f} s; at least {self._min_rate} are "
                "required"
            )
        self._seconds, self._bytes = 0.0, 0


async def paced(chunks: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """Yield the bytes of one connection, measured after the first chunk.

    Raises what `pace` raises if they arrive too slowly. A wait that ends with an error is not counted: the
    connection broke.
    """
    asked: float | None = None
    async with closing(chunks):
        async for chunk in chunks:
            if asked is not None:
                pace.record(len(chunk), time.monotonic() - asked)
            yield chunk
            asked = time.monotonic()
