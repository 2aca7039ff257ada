"""Passwords and other secrets: hashing, verification, and delays against guessing."""

import asyncio
import hashlib
import weakref
from contextlib import AbstractAsyncContextManager
from typing import Final

from tintype.blobs.cancellation import shielded
from tintype.db import identity as rows
from tintype.db.engine import Database, fetch, now
from tintype.domain.logins import FailedLogins
from tintype.domain.turns import address_group
from tintype.errors import Invalid
from tintype.services.hashing import Hasher
from tintype.services.turns import Queue

ADMINS: Final = "admins"
"""The group of requests that create and change users."""


class Passwords:
    """Hashes and verifies secrets, a few at a time; further attempts wait in a queue or are refused."""

    def __init__(self, database: Database, hasher: Hasher, *, waiting: int, waiting_of_one: int) -> None:
        """At most `waiting` attempts wait in this process, `waiting_of_one` of them from one address."""
        self._database = database
        self._hasher = hasher
        at_once = hasher.at_once + 1  # one uses the database while the others hash
        self._queue = Queue(at_once=at_once, per_group=waiting_of_one, total=waiting)
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
