"""Blobs on a web server, to read only: a mirror of images that somebody else keeps."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

import httpx2

from tintype.blobs.base import Writer
from tintype.errors import Invalid, NotFound, Unavailable

_CHUNK: Final = 1 << 20
_SECONDS: Final = 30.0


class HttpStore:
    """What lies below one address. It is the operator's, so it is trusted; redirects are not followed."""

    type = "http"

    def __init__(self, store_id: str, url: str) -> None:
        self.id = store_id
        self._url = url.rstrip("/")
        # No proxy of the environment, no decoding: the bytes are counted as they are stored.
        self._client = httpx2.AsyncClient(
            timeout=_SECONDS, trust_env=False, headers={"Accept-Encoding": "identity"}
        )

    async def create(self, key: str, size: int | None) -> Writer:
        """Refuse: this store is read-only."""
        raise Invalid(f"The store '{self.id}' is read-only.")

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the bytes of a range; of a server that knows no ranges those before it are passed over."""
        if start == stop:
            return
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            async with self._client.stream("GET", self._address(key), headers=headers) as answer:
                self._check(answer, {200, 206})
                position = start if answer.status_code == 206 else 0
                async for chunk in answer.aiter_raw(_CHUNK):
                    wanted = chunk[max(0, start - position) : max(0, stop - position)]
                    position += len(chunk)
                    if wanted:
                        yield wanted
                    if position >= stop:
                        return
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        raise Unavailable(f"The bytes of the store '{self.id}' end at {position}, before {stop}.")

    async def size(self, key: str) -> int | None:
        """Give the length that the server tells."""
        try:
            answer = await self._client.head(self._address(key))
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        if answer.status_code in {404, 410}:
            return None
        self._check(answer, {200})
        length = answer.headers.get("content-length", "")
        if not length.isdigit():
            raise Unavailable(f"The store '{self.id}' does not tell the size.")
        return int(length)

    async def delete(self, key: str) -> None:
        """Leave the bytes where they are: they are not ours."""

    async def keys(self) -> AsyncIterator[str]:
        """Give none: nothing there is ours to look after."""
        nothing: tuple[str, ...] = ()
        for key in nothing:
            yield key

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    def _address(self, key: str) -> str:
        return f"{self._url}/{quote(key)}"

    def _check(self, answer: httpx2.Response, wanted: set[int]) -> None:
        if answer.status_code in {404, 410}:
            raise NotFound("The stored bytes are missing.")
        if answer.status_code not in wanted:
            raise Unavailable(f"The store '{self.id}' answers {answer.status_code}.", Retry_After="5")

    def _unavailable(self, error: httpx2.HTTPError) -> Unavailable:
        return Unavailable(f"The store '{self.id}' does not answer: {type(error).__name__}.", Retry_After="5")
