"""Read-only blobs on the web: below a URL that the operator sets, or at any URL in an image's location."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from tintype.blobs.base import Writer
from tintype.blobs.reading import closing
from tintype.blobs.web import Web
from tintype.domain.blobs import FOREIGN
from tintype.errors import Invalid, NotFound, Unavailable


class HttpStore:
    """A read-only store of files on web servers. A URL of its own is set by the operator, and trusted."""

    type = "http"

    def __init__(self, store_id: str, url: str | None, web: Web) -> None:
        """Create it; without a URL, each blob's place is a complete URL."""
        self.id = store_id
        self._url = url
        self._web = web

    async def create(self, key: str, size: int | None) -> Writer:
        """Raise Invalid: this store is read-only."""
        raise Invalid(f"The store '{self.id}' is read-only.")

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a range; if the server does not support ranges, skip those before it."""
        if start == stop:
            return
        position = start
        try:
            async with closing(self._wanted(key, start, stop)) as chunks:
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except Invalid as error:  # the server refuses, or the address is no longer allowed
            raise Unavailable(f"The store '{self.id}' cannot be read: {error.message}") from error
        if position != stop:
            message = f"The server of the store '{self.id}' sent {position - start} of {stop - start} bytes."
            raise Unavailable(message)

    async def _wanted(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        position = start
        async with self._web.bytes(self._address(key), {}, start, stop) as (_, chunks), closing(chunks):
            async for chunk in chunks:
                wanted = chunk[: stop - position]
                position += len(wanted)
                yield wanted
                if position == stop:
                    return

    async def size(self, key: str) -> int | None:
        """Return the length that the server reports."""
        try:
            facts = await self._web.facts(self._address(key))
        except Invalid as error:  # the address is no longer allowed
            raise Unavailable(f"The store '{self.id}' cannot be read: {error.message}") from error
        if facts is None:
            return None
        if facts.size is None:
            message = (
                f"The server of the store '{self.id}' does not report the size of the data (Content-Length)."
            )
            raise Unavailable(message)
        return facts.size

    async def delete(self, key: str) -> None:
        """Do nothing: the bytes belong to others."""

    async def keys(self) -> AsyncIterator[str]:
        """Yield nothing: the service stores no bytes here."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    async def check(self) -> None:
        """Send a request to the operator's server, if there is one.

        Any response will do: the store is unavailable only if the server does not answer.
        """
        if self._url is None:
            return
        try:
            await self._web.facts(self._url)
        except (Invalid, NotFound):
            return
        except Unavailable as error:
            raise Unavailable(f"The store '{self.id}' does not answer.", retry_after=5) from error

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()

    async def url(self, key: str) -> str:
        """Return a blob's URL."""
        return self._address(key)

    async def place(self, url: str) -> str | None:
        """Accept any URL that the rules allow, unless the store has a URL of its own."""
        if self._url is not None:
            return None
        await self._web.check(url)
        return url

    def _address(self, key: str) -> str:
        if self._url is not None:
            return f"{self._url.rstrip('/')}/{quote(key)}"
        if not key.startswith(FOREIGN):
            raise NotFound("The stored bytes are missing.")
        return key.removeprefix(FOREIGN)
