"""Passwords and other secrets: hashed, verified, and guessing slowed down."""

import asyncio
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2

from tintype.db import identity as rows
from tintype.db.engine import Database
from tintype.domain.logins import FailedLogins
from tintype.errors import Invalid

_HASHES_AT_ONCE: Final = 2


class Passwords:
    """Hashes secrets with argon2, in threads of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._decoy = ""
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(_HASHES_AT_ONCE, "argon2")  # beside those that move bytes

    async def hash(self, secret: str) -> str:
        """Return the hash to store; raises Invalid for a secret that is empty or has a NUL."""
        if not secret or "\0" in secret:
            raise Invalid("A password must have at least one character, and no NUL.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, secret)

    async def check(self, secret: str, stored: str | None, *, usable: bool, owner: str, address: str) -> bool:
        """Return whether a secret matches the stored hash and its owner may use it.

        Each failure is counted for the owner at this address. Raises TooManyAttempts during the delay
        that follows failures. Takes as long where nothing is stored.
        """
        key = hashlib.sha256(f"{owner}\0{address}".encode("utf-8", "surrogatepass")).hexdigest()
        async with self._turn:  # the delay is looked at when it is this attempt's turn, not before
            async with self._database.read() as tx:
                (await rows.failures(tx, key)).check(_now())
            allowed = await self._verify(stored, secret) and usable
            async with self._database.write() as tx:
                failed = (
                    FailedLogins(0, 0) if allowed else (await rows.lock_failures(tx, key)).one_more(_now())
                )
                await rows.set_failures(tx, key, failed)
        return allowed

    async def _verify(self, stored: str | None, secret: str) -> bool:
        """Verify a secret; without a stored hash a decoy is verified, so that it takes as long."""
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe())
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._hasher.verify, stored or self._decoy, secret
            )
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _now() -> int:
    return time.time_ns() // 1000
