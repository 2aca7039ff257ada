"""Progress of transfers: callbacks, and a budget of retries."""

import threading
from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the total, None if unknown. May be called from any thread."""


class Count:
    """Counts bytes for a callback; thread-safe."""

    def __init__(self, callback: Progress | None, total: int | None, done: int = 0) -> None:
        """Start counting at `done` bytes."""
        self.done = done
        self.total = total
        self._callback = callback
        self._counting = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        """Add to the number of bytes done."""
        with self._counting:
            self._at(self.done + count)

    def at(self, done: int) -> None:
        """Set the number of bytes done."""
        with self._counting:
            self._at(done)

    def _at(self, done: int) -> None:
        self.done = done
        if self._callback is not None:
            self._callback(done, self.total)


class RetryBudget:
    """Limits the failures in a row without progress between them."""

    def __init__(self, attempts: int) -> None:
        """Allow `attempts` attempts."""
        self._attempts = attempts
        self._failures = 0
        self._best = -1

    def record_failure(self, done: int) -> int | None:
        """Record a failure at `done` bytes; return the failures in a row, None if that is too many."""
        self._failures = 1 if done > self._best else self._failures + 1
        self._best = max(self._best, done)
        return self._failures if self._failures < self._attempts else None
