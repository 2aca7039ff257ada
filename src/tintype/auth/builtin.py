"""Tokens of the built-in identity, checked against the database at most once a second each.

So what is revoked, or taken away, is gone within a second in every process, and at once in the
one that was told.
"""

import time
from typing import Final

from tintype.domain.callers import Caller
from tintype.errors import Unauthenticated
from tintype.services.identity import Identity, Token

_TRUSTED_SECONDS: Final = 1.0
_CACHED_TOKENS: Final = 10_000


class BuiltinAuthenticator:
    """Remembers callers by token, for a second."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._cache: dict[str, tuple[float, Token]] = {}

    async def authenticate(self, token: str, service_token: str | None = None) -> Caller:  # noqa: ARG002
        """Give the caller; here no service speaks for others."""
        return (await self.token(token)).caller

    async def check(self) -> None:
        """Do nothing: the database is asked by itself."""

    async def token(self, value: str) -> Token:
        """Give what a token stands for."""
        moment = time.monotonic()
        cached = self._cache.get(value)
        if cached is not None and moment < cached[0] and time.time_ns() // 1000 < cached[1].expires_at:
            return cached[1]
        try:
            token = await self._identity.validate(value)
        except Unauthenticated:
            self._cache.pop(value, None)
            raise
        if len(self._cache) >= _CACHED_TOKENS:
            self._cache.clear()
        self._cache[value] = (moment + _TRUSTED_SECONDS, token)
        return token

    def forget(self, value: str) -> None:
        """Trust a token no longer without asking."""
        self._cache.pop(value, None)
