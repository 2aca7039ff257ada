"""How far something is: what callbacks are told, and what a person wants to know of it."""

import threading
from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Is told the bytes that are done, and of how many; None where that is not known. From any thread."""


class Count:
    """Counts bytes for a callback; threads may count at once."""

    def __init__(self, tell: Progress | None, total: int | None, done: int = 0) -> None:
        """Begin; `done` bytes are there already."""
        self.done = done
        self.total = total
        self._tell = tell
        self._counting = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        """Note bytes more."""
        with self._counting:
            self._at(self.done + count)

    def at(self, done: int) -> None:
        """Note how many bytes there are."""
        with self._counting:
            self._at(done)

    def _at(self, done: int) -> None:
        self.done = done
        if self._tell is not None:
            self._tell(done, self.total)


class Patience:
    """How long it is worth trying: failures in a row without a byte more between them."""

    def __init__(self, attempts: int) -> None:
        """Allow `attempts` of them."""
        self._attempts = attempts
        self._failures = 0
        self._best = -1

    def spent(self, done: int) -> int | None:
        """Note a failure at `done` bytes; gives how many there were in a row, None where that is enough."""
        self._failures = 1 if done > self._best else self._failures + 1
        self._best = max(self._best, done)
        return self._failures if self._failures < self._attempts else None
