"""Limits the requests per second of each caller, in each server process by itself."""

import math
import time
from collections import OrderedDict
from typing import Final

from tintype.errors import TooManyAttempts

_CALLERS: Final = 10_000


class Throttle:
    """A token bucket for each caller: it refills at a steady rate, and a request takes one token."""

    def __init__(self, rate: float, burst: int) -> None:
        """Allow each caller `rate` requests per second, and bursts of `burst`."""
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, caller: str) -> None:
        """Take a token for a request; raises TooManyAttempts, with the time to wait, if there is none."""
        now = time.monotonic()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - allowed, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)  # the least recently used bucket is full again
        if not allowed:
            seconds = math.ceil((1 - tokens) / self._rate)
            message = f"More than {self._rate:g} requests a second. Try again in {seconds} s."
            raise TooManyAttempts(message, retry_after=seconds)
