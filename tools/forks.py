"""Run tasks each in a process forked from this one, which has loaded what they need."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

Task = TypeVar("Task")


def run_in_forks(
    tasks: Iterable[Task], run: Callable[[Task], Any], processes: int, seconds: float
) -> Iterator[tuple[Task, Any]]:
    """Yield each task with the JSON value that `run` returned; None if its process died or took too long."""
    waiting = iter(tasks)
    running: dict[int, tuple[Task, float]] = {}
    with TemporaryDirectory() as folder:
        while True:
            while len(running) < processes and (task := next(waiting, None)) is not None:
                running[_fork(task, run, Path(folder))] = task, time.monotonic() + seconds
            if not running:
                return
            for process, (task, deadline) in list(running.items()):
                if os.waitpid(process, os.WNOHANG) == (0, 0):
                    if time.monotonic() < deadline:
                        continue
                    _kill(process)
                    os.waitpid(process, 0)
                del running[process]
                _kill(process)  # what the task has started
                result = Path(folder, str(process))
                yield task, json.loads(result.read_text()) if result.exists() else None
            time.sleep(0.02)


def _fork(task: Task, run: Callable[[Task], Any], folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        value = json.dumps(run(task))
        part = folder / f"{os.getpid()}.part"
        part.write_text(value)
        part.rename(folder / str(os.getpid()))
        status = 0
    finally:
        os._exit(status)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
