"""The differences between the blocking and the asynchronous client; see `aio/io.py`."""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Awaited = Annotated[T, "at once"]
"""The result of a method: here the value itself."""
sleep: Final = time.sleep
Lock: Final = threading.Lock


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may block."""
    return function(*args, **kwargs)


def every(work: Callable[[T], None], items: Iterable[T], at_once: int, abandon: Callable[[], None]) -> None:
    """Process items concurrently. On the first failure, call `abandon` and raise it.

    Threads that wait for the server then are not joined: they end by themselves, without effect.
    """
    waiting, next_lock, failed = iter(items), threading.Lock(), threading.Event()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            while not failed.is_set():
                with next_lock:
                    item = next(waiting, None)
                if item is None:
                    break
                work(item)
        except BaseException as failure:  # noqa: BLE001  raised by every()
            ended.put(failure)
        else:
            ended.put(None)

    for _ in range(at_once):
        threading.Thread(target=run, name="tintype-range", daemon=True).start()
    try:
        for _ in range(at_once):
            failure = ended.get()
            if failure is not None:
                raise failure  # noqa: TRY301  raises a thread's error
    except BaseException:  # an interrupt, too
        failed.set()
        abandon()
        raise
