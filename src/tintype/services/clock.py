"""The time of day, in the unit that the database keeps."""

import time


def now() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000
