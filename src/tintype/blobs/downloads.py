"""Downloads from the web that outlive broken connections, within limits of size and time."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from tintype.blobs.pace import Pace, paced
from tintype.blobs.reading import closing
from tintype.blobs.web import Facts, Web, unreadable
from tintype.domain.addresses import display_url
from tintype.errors import Invalid, NotFound, OverLimit, Unavailable

_TRIES: Final = 3
"""For a source that gives nothing, until it gives something again."""


class Download:
    """One thing from the web, from front to back, across connections that break.

    Bytes are only put together where the server says that they are still the same ones.
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
        """Make it: for `limit` bytes and so many seconds at most, of at least `min_rate` bytes a second."""
        self._web = web
        self._url = url
        self._limit = limit
        self._headers = headers or {}
        self._seconds = seconds
        self._pace = Pace(min_rate)
        self._until = time.monotonic() + seconds
        self._position = 0
        self.facts: Facts | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the bytes.

        Raises OverLimit where there are too many, Unavailable where they do not come or not in time,
        Invalid where there is nothing to fetch, or it comes too slowly.
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
        """Return the bytes once the first of them are there, and with them the facts."""
        chunks = self.chunks()
        first = await anext(chunks, b"")

        async def whole() -> AsyncIterator[bytes]:
            async with closing(chunks):
                yield first
                async for chunk in chunks:
                    yield chunk

        return whole()

    async def _once(self) -> AsyncIterator[bytes]:
        """Return what one connection brings."""
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

    def _remember(self, facts: Facts) -> None:
        """Note what is fetched; raises Invalid where it has changed in the middle."""
        if facts.size is not None and facts.size > self._limit:
            raise self._too_large(f"{facts.size} bytes")
        if self._position and self.facts is not None:
            if (facts.size, facts.validator) != (self.facts.size, self.facts.validator):
                raise Invalid(f"{display_url(self._url)} changed while it was read. Start the import again.")
            return
        self.facts = facts

    def _with_progress(self, error: Unavailable) -> Unavailable:
        """Add how far it came to why it came no further."""
        if not self._position:
            return error
        size = self.facts.size if self.facts is not None else None
        of = "" if size is None else f" of {size}"
        message = f"{error.message.removesuffix('.')}, after {self._position}{of} bytes."
        return Unavailable(message, retry_after=5)

    def _too_large(self, size: str) -> OverLimit:
        return OverLimit(f"{display_url(self._url)} has {size}; an image may have at most {self._limit}.")

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes, or None at the end; raises Invalid where the time is over."""
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                return await anext(chunks, None)
        except TimeoutError:
            raise Invalid(
                f"{display_url(self._url)} could not be read within {self._seconds:.0f} s (imports.seconds), "
                f"only {self._position} bytes of it."
            ) from None
