"""Waking background tasks that otherwise poll for work."""

from collections.abc import Callable


class Wakeup:
    """Notifies the worker or the sweeper of this process that there is work."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Register a function to be called whenever there is work."""
        self._callbacks.append(callback)

    def wake(self) -> None:
        """Call the registered functions. Use it after the transaction that stores the work has committed."""
        for callback in self._callbacks:
            callback()
