"""A circuit breaker: remembers that a service does not answer, so that calls can fail at once.

It is closed while the service answers. A failure opens it, and the first answer closes it. While it is open,
only one probe at a time should be sent. Moments are seconds of one monotonic clock.
"""


class Breaker:
    """The state of the breaker. The caller provides the clock, the probes and the calls."""

    def __init__(self, *, pause: float) -> None:
        """Create a closed breaker; probes start at least `pause` seconds apart."""
        self._pause = pause
        self._answered_at = float("-inf")
        self._opened_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls should fail at once."""
        return self._opened_at is not None

    def has_answered_since(self, moment: float) -> bool:
        """Return whether an answer has arrived at that moment or later."""
        return self._answered_at >= moment

    def record_answer(self, moment: float) -> float | None:
        """Close the breaker; return for how many seconds it was open, or None if it was closed."""
        opened_at, self._opened_at = self._opened_at, None
        self._answered_at = moment
        return None if opened_at is None else moment - opened_at

    def record_failure(self, began: float, moment: float) -> bool:
        """Open the breaker; return whether it was closed before.

        A failed call that began before the last answer does not count: it may belong to an outage that is
        over.
        """
        if self.is_open or self.has_answered_since(began):
            return False
        self._opened_at = moment
        return True

    def until_next_probe(self, began: float, moment: float) -> float:
        """Return how many seconds after `moment` the next probe is due, if the last one began at `began`."""
        return max(0.0, began + self._pause - moment)
