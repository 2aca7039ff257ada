"""Blobs on the web, to read only: below one address of the operator's, or wherever images say."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from tintype.blobs.base import Writer
from tintype.blobs.reading import closing
from tintype.blobs.web import Web
from tintype.domain.blobs import FOREIGN
from tintype.errors import Invalid, NotFound, Unavailable


class HttpStore:
    """What lies on web servers. With an address of its own it is the operator's, and trusted."""

    type = "http"

    def __init__(self, store_id: str, url: str | None, web: Web) -> None:
        """Make it; without a URL each blob's place is its whole address."""
        self.id = store_id
        self._url = url
        self._web = web

    async def create(self, key: str, size: int | None) -> Writer:
        """Refuse: this store is read-only."""
        raise Invalid(f"The store '{self.id}' is read-only.")

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Return the bytes of a range; of a server that knows no ranges those before it are passed over."""
        if start == stop:
            return
        position = start
        try:
            async with closing(self._wanted(key, start, stop)) as chunks:
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except Invalid as error:  # of a server that refuses us, or an address that may no longer be gone to
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
        """Return the length that the server tells."""
        try:
            facts = await self._web.facts(self._address(key))
        except Invalid as error:  # of an address that may no longer be gone to
            raise Unavailable(f"The store '{self.id}' cannot be read: {error.message}") from error
        if facts is None:
            return None
        if facts.size is None:
            message = (
                f"The server of the store '{self.id}' does not say how large the data is (Content-Length)."
            )
            raise Unavailable(message)
        return facts.size

    async def delete(self, key: str) -> None:
        """Leave the bytes where they are: they are not ours."""

    async def keys(self) -> AsyncIterator[str]:
        """Return nothing: nothing there is ours to look after."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    async def check(self) -> None:
        """Ask the operator's server for anything; without an address there is no place to ask.

        What it says to that is its own business: only where it is silent are its bytes out of reach.
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
        """Let go of connections."""
        await self._web.close()

    async def url(self, key: str) -> str:
        """Return a blob's address."""
        return self._address(key)

    async def place(self, url: str) -> str | None:
        """Take any address that the rules of the web let through, where the store has none of its own."""
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
