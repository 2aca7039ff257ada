"""Passwords and other secrets: hashed, verified, and guessing slowed down."""

import asyncio
import hashlib
import time
import weakref
from contextlib import AbstractAsyncContextManager
from typing import Final

from tintype.blobs.ends import to_the_end
from tintype.db import identity as rows
from tintype.db.engine import Database
from tintype.domain.logins import FailedLogins
from tintype.domain.turns import address_group
from tintype.errors import Invalid
from tintype.services.hashing import Hasher
from tintype.services.turns import Queue

ADMINS: Final = "admins"
"""The group in the queue of those who make and change users."""


class Passwords:
    """Hashes and checks secrets, for so many at once; others wait in a queue, or are refused."""

    def __init__(self, database: Database, hasher: Hasher, *, waiting: int, waiting_of_one: int) -> None:
        """Create it; so many attempts may wait in this process, and so many of them from one address."""
        self._database = database
        self._hasher = hasher
        at_once = hasher.at_once + 1  # one asks the database while the others are hashed
        self._queue = Queue(at_once=at_once, per_group=waiting_of_one, total=waiting)
        self._owners: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def hash(self, secret: str, *, group: str) -> str:
        """Return the hash to store; waits in the queue as `group`.

        Raises Invalid for a secret that is empty or has a NUL, TooManyAttempts where the queue is full.
        """
        if not secret or "\0" in secret:
            raise Invalid("A password must have at least one character, and no NUL.")
        async with self._queue.turn(group):
            return await to_the_end(self._hasher.hash(secret))

    def attempt(self, address: str) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of an attempt from an address, before anything is asked of the database.

        Raises TooManyAttempts where too many wait, whoever the attempt is about.
        """
        return self._queue.turn(address_group(address))

    async def check(self, secret: str, stored: str | None, *, usable: bool, owner: str, address: str) -> bool:
        """Return whether a secret matches the stored hash and its owner may use it; within an `attempt`.

        Each failure is counted for the owner at this address, also where the client is gone by then. Raises
        TooManyAttempts during the delay that follows failures. Takes as long where nothing is stored.
        """
        name = f"{owner}\0{address_group(address)}"
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        async with self._owners.setdefault(key, asyncio.Lock()):  # one at a time: each sees those before
            return await to_the_end(self._check(secret, stored, key, usable=usable))

    async def _check(self, secret: str, stored: str | None, key: str, *, usable: bool) -> bool:
        async with self._database.read() as tx:
            (await rows.failures(tx, key)).check(_now())
        allowed = await self._hasher.verify(stored, secret) and usable
        async with self._database.write() as tx:
            failed = FailedLogins(0, 0) if allowed else (await rows.lock_failures(tx, key)).one_more(_now())
            await rows.set_failures(tx, key, failed)
        return allowed


def _now() -> int:
    return time.time_ns() // 1000
