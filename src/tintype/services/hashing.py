"""Hashing of secrets with argon2, on all cores of the machine but one."""

import asyncio
import contextlib
import fcntl
import os
import random
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import argon2

T = TypeVar("T")

_SLOTS: Final = "slots"
"""The folder of the slots, in the data folder."""


class Hasher:
    """Hashes and verifies in threads of its own.

    All processes that share a data folder share its slots: one for each core but one. A slot is a file lock,
    so the slots of a process that dies become free.
    """

    def __init__(self, data_dir: Path) -> None:
        self.at_once = max(1, _cores() - 1)
        self._folder = data_dir / _SLOTS
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._decoy = ""
        self._threads = ThreadPoolExecutor(self.at_once, "argon2")  # not those that move bytes

    async def hash(self, secret: str) -> str:
        """Return the hash of a secret, to be stored."""
        return await self._run(lambda: self._hasher.hash(secret))

    async def verify(self, stored: str | None, secret: str) -> bool:
        """Return whether a secret matches a stored hash; without one, verify a decoy to take as long."""
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe())
        hashed = stored or self._decoy
        try:
            return await self._run(lambda: self._hasher.verify(hashed, secret))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        def in_slot() -> T:
            with self._slot():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._threads, in_slot)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        """Acquire a slot; wait in this thread while all are taken."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # logins work even so
                self._folder.mkdir(mode=0o700, exist_ok=True)
                numbers = random.sample(range(self.at_once), self.at_once)
                if not any(self._acquire(number, held, fcntl.LOCK_NB) for number in numbers):
                    self._acquire(numbers[0], held)
            yield

    def _acquire(self, number: int, held: contextlib.ExitStack, flags: int = 0) -> bool:
        slot = os.open(self._folder / str(number), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        held.callback(os.close, slot)
        try:
            fcntl.flock(slot, fcntl.LOCK_EX | flags)
        except BlockingIOError:
            return False
        return True


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
