"""Measures how fast a client reads its response while the server waits for it."""

from typing import Final

WINDOW_SECONDS: Final = 120.0
"""Seconds of waiting over which a client's rate is measured."""


class Reader:
    """One client. Times are the event loop's; `pending` is the number of bytes not acknowledged yet."""

    def __init__(self, unread_seconds: float, min_rate: float) -> None:
        """Give up clients that pause for `unread_seconds`, or read less than `min_rate` bytes per second."""
        self._unread_seconds = unread_seconds
        self._min_rate = min_rate
        self._since = 0.0
        self._heard = 0.0
        self._pending = 0
        self._waited = 0.0
        self._taken = 0

    @property
    def interval(self) -> float:
        """Seconds until the next check."""
        return min(self._unread_seconds, WINDOW_SECONDS / 8)

    def begin(self, now: float, pending: int) -> None:
        """Start waiting for the client."""
        self._since = self._heard = now
        self._pending = pending

    def end(self, now: float, pending: int) -> None:
        """Stop waiting: the client has taken enough to continue."""
        self._taken += max(0, self._pending - pending)
        self._waited += now - self._since

    def is_lost(self, now: float, pending: int) -> bool:
        """Return whether to give the client up."""
        if pending < self._pending:
            self._heard = now
        self.end(now, pending)
        self._since, self._pending = now, pending
        if now - self._heard >= self._unread_seconds:
            return True
        if self._waited < WINDOW_SECONDS:
            return False
        is_slow = self._taken < self._min_rate * self._waited
        self._waited, self._taken = 0.0, 0
        return is_slow
