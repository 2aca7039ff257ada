"""What a blocking client does otherwise than an asynchronous one; `aio/io.py` is the twin."""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Awaited = Annotated[T, "at once"]
"""What a method gives: here the thing itself."""
sleep: Final = time.sleep
Lock: Final = threading.Lock


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may block."""
    return function(*args, **kwargs)


def every(work: Callable[[T], None], items: Iterable[T], at_once: int, abandon: Callable[[], None]) -> None:
    """Do something with each item, several at once. The first failure ends all; `abandon` is told of it.

    What waits for a server then is not waited for: it ends by itself, and can do nothing more.
    """
    waiting, taking, failed = iter(items), threading.Lock(), threading.Event()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            while not failed.is_set():
                with taking:
                    item = next(waiting, None)
                if item is None:
                    break
                work(item)
        except BaseException as failure:  # noqa: BLE001  who waits raises it
            ended.put(failure)
        else:
            ended.put(None)

    for _ in range(at_once):
        threading.Thread(target=run, name="tintype-range", daemon=True).start()
    try:
        for _ in range(at_once):
            failure = ended.get()
            if failure is not None:
                raise failure  # noqa: TRY301  what happened in a thread happens here
    except BaseException:  # an interrupt, too
        failed.set()
        abandon()
        raise
