"""Waking those who look for work now and then."""

from collections.abc import Callable


class Wakeup:
    """Tells the worker or the sweeper of this process that there is something to do."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have a function called each time that there is something to do."""
        self._callbacks.append(callback)

    def wake(self) -> None:
        """Call it after the transaction that stores the work has committed."""
        for callback in self._callbacks:
            callback()
