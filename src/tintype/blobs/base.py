"""What a blob store does: four verbs. Everything else is built on them."""

from collections.abc import AsyncIterator
from typing import Protocol


class Writer(Protocol):
    """Bytes on their way into a store; nobody sees them before `commit`."""

    async def write(self, data: memoryview) -> None:
        """Append bytes. The buffer may be used again when this returns."""

    async def commit(self) -> None:
        """Make the bytes durable and visible under their key, all at once."""

    async def abort(self) -> None:
        """Leave nothing behind."""


class BlobStore(Protocol):
    """Bytes by key. Keys are made by us, never by a client.

    Every verb raises Unavailable where the store does not answer, OverLimit where it is full.
    """

    id: str
    type: str

    async def create(self, key: str) -> Writer:
        """Begin to write."""

    def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the bytes from `start` to before `stop`; raises NotFound where there are none."""

    async def size(self, key: str) -> int | None:
        """Give the number of bytes, or None where there are none."""

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; well if there are none."""
