"""Requests a second, for each caller by itself and in each server process."""

import math
import time
from collections import OrderedDict
from typing import Final

from tintype.errors import TooManyAttempts

_CALLERS: Final = 10_000


class Throttle:
    """A bucket of tokens a caller: it fills steadily, and a request takes one."""

    def __init__(self, rate: float, burst: int) -> None:
        """`rate` are requests a second, `burst` those that may come at once."""
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count a request; raises TooManyAttempts, with the time to wait, where there are too many."""
        now = time.monotonic()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - allowed, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)  # who has not called for longest has a full one again
        if not allowed:
            seconds = math.ceil((1 - tokens) / self._rate)
            message = f"More than {self._rate:g} requests a second. Try again in {seconds} s."
            raise TooManyAttempts(message, retry_after=seconds)
