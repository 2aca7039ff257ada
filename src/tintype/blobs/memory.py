"""Blobs in memory: for tests, and for data that may be lost."""

from collections.abc import AsyncIterator
from typing import Final

from tintype.errors import Gone, NotFound, OverLimit

_CHUNK: Final = 1 << 20


class MemoryStore:
    """Bytes in this process; another process does not see them."""

    type = "memory"

    def __init__(self, store_id: str, limit: int) -> None:
        """Create a store of at most `limit` bytes in all."""
        self.id = store_id
        self.limit = limit
        self.ready: dict[str, bytes] = {}
        self.partial: dict[str, bytearray] = {}

    async def create(self, key: str, size: int | None) -> "_MemoryWriter":
        """Start writing."""
        if size is not None:
            self.check_space(size)
        return _MemoryWriter(self, key)

    async def resume(self, key: str, offset: int, size: int) -> "_MemoryWriter":
        """Continue writing at an offset."""
        self.check_space(size - offset)
        if offset:
            kept = self.partial.get(key)
            if kept is None and key in self.ready:
                kept = bytearray(self.ready.pop(key))
            if kept is None or len(kept) < offset:
                raise Gone("The data received so far no longer exists.")
            self.partial[key] = kept[:offset]
        else:
            self.partial.pop(key, None)
        return _MemoryWriter(self, key)

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `stop`."""
        if key not in self.ready:
            raise NotFound("The stored bytes are missing.")
        data = self.ready[key]
        for offset in range(start, stop, _CHUNK):
            yield data[offset : min(offset + _CHUNK, stop)]

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there are none."""
        data = self.ready.get(key)
        return None if data is None else len(data)

    async def delete(self, key: str) -> None:
        """Delete the bytes; succeed if there are none."""
        self.ready.pop(key, None)
        self.partial.pop(key, None)

    async def keys(self) -> AsyncIterator[str]:
        """Yield the key of everything."""
        for key in (*self.ready, *self.partial):
            yield key

    async def check(self) -> None:
        """Do nothing: memory is always available."""

    async def close(self) -> None:
        """Do nothing."""

    def check_space(self, size: int) -> None:
        """Raise OverLimit if there is no room for so many bytes."""
        used = sum(len(data) for data in (*self.ready.values(), *self.partial.values()))
        if used + size > self.limit:
            raise OverLimit("Image storage media is full.")


class _MemoryWriter:
    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store, self._key = store, key
        self._begun = key in store.partial

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        self._store.check_space(len(data))
        self._bytes().extend(data)

    async def flush(self) -> None:
        """Do nothing: nothing survives this process."""

    async def commit(self) -> None:
        """Make the bytes visible."""
        self._store.ready[self._key] = bytes(self._bytes())
        del self._store.partial[self._key]

    async def close(self) -> None:
        """Do nothing."""

    def _bytes(self) -> bytearray:
        if not self._begun:
            self._begun = True
            return self._store.partial.setdefault(self._key, bytearray())
        if self._key not in self._store.partial:
            raise NotFound("The data was deleted meanwhile.")
        return self._store.partial[self._key]
