"""The interface of blob stores. What only some stores can do is an optional capability."""

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

from tintype.domain.blobs import FOREIGN


def name_in_store(key: str, ours: str) -> str:
    """Return the name of a key's bytes in a store; `ours` is the name if the service wrote them."""
    return key.removeprefix(FOREIGN) if key.startswith(FOREIGN) else ours


class Writer(Protocol):
    """A writer of one blob. Nobody sees the bytes before `commit`."""

    async def write(self, data: memoryview) -> None:
        """Append bytes. The caller may reuse the buffer when this returns."""

    async def commit(self) -> None:
        """Make the bytes durable and visible under their key, atomically.

        Raises NotFound if they have been deleted meanwhile.
        """

    async def close(self) -> None:
        """Release the writer, committed or not. Uncommitted bytes remain until `delete`."""


class ResumableWriter(Writer, Protocol):
    """A writer whose work another process can resume."""

    async def flush(self) -> None:
        """Make the bytes written so far durable, so that `resume` can continue after them."""


class BlobStore(Protocol):
    """A store of bytes by key. Keys are chosen by the service, never by a client.

    Every method raises Unavailable if the store does not answer, and OverLimit if it is full.
    """

    id: str
    type: str

    async def create(self, key: str, size: int | None) -> Writer:
        """Start writing. `size` is the number of bytes, if it is known in advance.

        Raises OverLimit if there is no room for them, Invalid if the store is read-only.
        Nothing is stored before the first `write`, so a writer that is lost leaves nothing.
        """

    def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `stop`; raises NotFound if there are none."""

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there are none."""

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; return only once the store no longer has them.

        Succeeds if there are none. Raises Conflict if the store has to keep them for now, for example
        because clones depend on them: the caller tries again later.
        """

    def keys(self) -> AsyncIterator[str]:
        """Yield the key of everything that is stored, half-written bytes too; some keys perhaps twice."""

    async def check(self) -> None:
        """Raise Unavailable, with an explanation, if the store cannot be used.

        Details that help operators, but that clients must not see, are in the error's notes.
        """

    async def close(self) -> None:
        """Close connections."""


@runtime_checkable
class Resumable(Protocol):
    """A store whose half-written bytes any process can continue."""

    async def resume(self, key: str, offset: int, size: int) -> ResumableWriter:
        """Continue writing at an offset that a flush has reached; later bytes are dropped.

        `size` is the final number of bytes. Offset 0 starts anew. Raises Gone if the earlier bytes are
        no longer there.
        """


@runtime_checkable
class Offloadable(Protocol):
    """A store whose bytes a reverse proxy can send by itself."""

    def internal_path(self, key: str) -> str | None:
        """Return the path for `X-Accel-Redirect`; None if the operator has not configured it."""


@runtime_checkable
class Clonable(Protocol):
    """A store where clones can depend on a blob."""

    async def in_use(self, key: str) -> bool:
        """Return whether a clone depends on the blob, which then cannot be deleted."""


@runtime_checkable
class Described(Protocol):
    """A store whose configuration is of interest to operators and to other services of the cloud."""

    async def properties(self) -> dict[str, Any]:
        """Return its properties, under the names that the image API uses."""


@runtime_checkable
class Addressed(Protocol):
    """A store whose blobs have URLs that other services of the cloud understand."""

    async def url(self, key: str) -> str:
        """Return the URL, without any secret."""

    async def place(self, url: str) -> str | None:
        """Return the name in this store of the external data at a URL; None if the URL leads elsewhere.

        Raises Invalid if the URL leads to this store but may not be used.
        """
