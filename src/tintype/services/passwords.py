"""Passwords and other secrets: hashing with argon2, verification, and delays against guessing."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import secrets
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, TypeVar

import argon2

from tintype.blobs.cancellation import shielded
from tintype.db import identity as rows
from tintype.db.engine import Database, fetch, now
from tintype.domain.identity import FailedLogins
from tintype.domain.turns import Bounds, address_group
from tintype.errors import Invalid
from tintype.services.turns import Queue

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


ADMINS: Final = "admins"
"""The group of requests that create and change users."""


class Passwords:
    """Hashes and verifies secrets, a few at a time; further attempts wait in a queue or are refused."""

    def __init__(self, database: Database, hasher: Hasher, *, waiting: int, waiting_of_one: int) -> None:
        """At most `waiting` attempts wait in this process, `waiting_of_one` of them from one address."""
        self._database = database
        self._hasher = hasher
        at_once = hasher.at_once + 1  # one uses the database while the others hash
        self._queue = Queue(at_once, Bounds(waiting_of_one, waiting))
        self._owners: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def hash(self, secret: str, *, group: str) -> str:
        """Return the hash to store; wait in the queue as `group`.

        Raises Invalid for a secret that is empty or has a NUL, TooManyAttempts if the queue is full.
        """
        if not secret or "\0" in secret:
            raise Invalid("A password must have at least one character, and no NUL.")
        async with self._queue.turn(group):
            return await shielded(self._hasher.hash(secret))

    def attempt(self, address: str) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of an attempt from an address, before the database is read.

        Raises TooManyAttempts if too many are waiting, whichever user the attempt is for.
        """
        return self._queue.turn(address_group(address))

    async def check(self, secret: str, stored: str | None, *, usable: bool, owner: str, address: str) -> bool:
        """Return whether a secret matches the stored hash and is usable; call it within an `attempt`.

        Each failure is counted for the owner at this address, even if the client disconnects. Raises
        TooManyAttempts during the delay that follows failures. Takes as long if nothing is stored.
        """
        name = f"{owner}\0{address_group(address)}"
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        async with self._owners.setdefault(key, asyncio.Lock()):  # so that each attempt sees earlier failures
            return await shielded(self._check(secret, stored, key, usable=usable))

    async def _check(self, secret: str, stored: str | None, key: str, *, usable: bool) -> bool:
        (await fetch(self._database, rows.failures, key)).check(now())
        allowed = await self._hasher.verify(stored, secret) and usable
        async with self._database.write() as tx:
            failed = FailedLogins(0, 0) if allowed else (await rows.lock_failures(tx, key)).increment(now())
            await rows.set_failures(tx, key, failed)
        return allowed
