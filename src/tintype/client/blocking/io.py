"""What a blocking client does otherwise than an asynchronous one; `aio/io.py` is the twin."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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
    """Do something with each item, several at once. The first failure ends all; `abandon` is told of it."""
    waiting, taking, failed = iter(items), threading.Lock(), threading.Event()

    def run() -> None:
        while not failed.is_set():
            with taking:
                item = next(waiting, None)
            if item is None:
                return
            try:
                work(item)
            except BaseException:
                failed.set()
                abandon()
                raise

    with ThreadPoolExecutor(at_once, "tintype") as threads:
        running = [threads.submit(run) for _ in range(at_once)]
        try:
            for each in running:
                each.result()
        except BaseException:  # an interrupt, too
            failed.set()
            abandon()
            raise
