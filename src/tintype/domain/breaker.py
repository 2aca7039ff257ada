"""A circuit breaker: remembers that a service does not answer, so that calls can fail at once.

It is closed while the service answers. A failure opens it, and the first answer closes it again; while it is
open, only one probe at a time should ask. Moments are seconds of one monotonic clock.
"""


class Breaker:
    """Whether a service answers. The caller has the clock, the probes and the calls."""

    def __init__(self, *, pause: float) -> None:
        """Create it closed; probes begin at least `pause` seconds apart."""
        self._pause = pause
        self._answered_at = float("-inf")
        self._opened_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls should fail at once."""
        return self._opened_at is not None

    def has_answered_since(self, moment: float) -> bool:
        """Return whether an answer has come at that moment or later."""
        return self._answered_at >= moment

    def note_answer(self, moment: float) -> float | None:
        """Close; return for how many seconds it was open, None where it was closed."""
        opened_at, self._opened_at = self._opened_at, None
        self._answered_at = moment
        return None if opened_at is None else moment - opened_at

    def note_failure(self, began: float, moment: float) -> bool:
        """Open, and return whether that is new.

        A call that began before the last answer does not count: it may have been stuck in an outage that is
        over.
        """
        if self.is_open or self.has_answered_since(began):
            return False
        self._opened_at = moment
        return True

    def until_next_probe(self, began: float, moment: float) -> float:
        """Return how many seconds to wait after a probe that began then."""
        return max(0.0, began + self._pause - moment)
