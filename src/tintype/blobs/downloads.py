"""Downloads from the web that survive broken connections, within limits of size and time."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from tintype.blobs.pace import Pace, paced
from tintype.blobs.reading import closing
from tintype.blobs.web import ResourceInfo, Web, unreadable
from tintype.domain.addresses import display_url
from tintype.errors import Invalid, NotFound, OverLimit, Unavailable

_TRIES: Final = 3
"""Consecutive attempts without a byte before the download fails."""


class Download:
    """A sequential download that continues after connections break.

    It continues only if the server confirms that the resource has not changed.
    """

    def __init__(
        self,
        web: Web,
        url: str,
        *,
        limit: int,
        seconds: float,
        min_rate: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Create it for at most `limit` bytes and so many seconds, at `min_rate` bytes per second or more."""
        self._web = web
        self._url = url
        self._limit = limit
        self._headers = headers or {}
        self._seconds = seconds
        self._pace = Pace(min_rate)
        self._until = time.monotonic() + seconds
        self._position = 0
        self.facts: ResourceInfo | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes.

        Raises OverLimit if there are too many, Unavailable if they do not arrive or not in time,
        Invalid if there is nothing to fetch or the source is too slow.
        """
        tries = 0
        while True:
            before = self._position
            try:
                async with closing(paced(self._once(), self._pace)) as found:
                    while (chunk := await self._next(found)) is not None:
                        yield chunk
            except NotFound as error:
                raise Invalid(error.message) from None
            except Unavailable as error:
                tries = 1 if self._position > before else tries + 1
                can_go_on = self._position == 0 or (self.facts is not None and self.facts.validator)
                if tries >= _TRIES or not can_go_on or time.monotonic() > self._until:
                    raise self._with_progress(error) from error
                await asyncio.sleep(min(2.0**tries, self._until - time.monotonic(), 20.0))
            else:
                return

    async def begin(self) -> AsyncIterator[bytes]:
        """Wait for the first bytes, which also sets `facts`; return an iterator over all bytes."""
        chunks = self.chunks()
        first = await anext(chunks, b"")

        async def whole() -> AsyncIterator[bytes]:
            async with closing(chunks):
                yield first
                async for chunk in chunks:
                    yield chunk

        return whole()

    async def _once(self) -> AsyncIterator[bytes]:
        """Yield the bytes of one connection."""
        headers = dict(self._headers)
        if self._position and self.facts is not None and self.facts.validator is not None:
            headers["If-Range"] = self.facts.validator
        async with self._web.bytes(self._url, headers, self._position) as (facts, chunks), closing(chunks):
            self._remember(facts)
            async for chunk in chunks:
                self._position += len(chunk)
                if self._position > self._limit:
                    raise self._too_large(f"more than {self._limit} bytes")
                yield chunk
        size = self.facts.size if self.facts is not None else None
        if size is not None and self._position != size:
            raise unreadable(self._url, "it closed the connection early")

    def _remember(self, facts: ResourceInfo) -> None:
        """Store what the server said of the resource; raises Invalid if it has changed since."""
        if facts.size is not None and facts.size > self._limit:
            raise self._too_large(f"{facts.size} bytes")
        if self._position and self.facts is not None:
            if (facts.size, facts.validator) != (self.facts.size, self.facts.validator):
                raise Invalid(f"{display_url(self._url)} changed while it was read. Start the import again.")
            return
        self.facts = facts

    def _with_progress(self, error: Unavailable) -> Unavailable:
        """Return the error with the number of bytes received added to its message."""
        if not self._position:
            return error
        size = self.facts.size if self.facts is not None else None
        of = "" if size is None else f" of {size}"
        message = f"{error.message.removesuffix('.')}, after {self._position}{of} bytes."
        return Unavailable(message, retry_after=5)

    def _too_large(self, size: str) -> OverLimit:
        return OverLimit(f"{display_url(self._url)} has {size}; an image may have at most {self._limit}.")

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes, or None at the end; raises Invalid if the time is up."""
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                return await anext(chunks, None)
        except TimeoutError:
            raise Invalid(
                f"{display_url(self._url)} could not be read within {self._seconds:.0f} s (imports.seconds), "
                f"only {self._position} bytes of it."
            ) from None
