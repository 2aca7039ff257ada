"""What a blob store does: five verbs and a check. What only some can do is a capability that they have."""

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

from tintype.domain.blobs import FOREIGN


def name_in_store(key: str, ours: str) -> str:
    """Return the name of a key's bytes in a store that calls what it writes itself `ours`."""
    return key.removeprefix(FOREIGN) if key.startswith(FOREIGN) else ours


class Writer(Protocol):
    """Bytes on their way into a store; nobody sees them before `commit`."""

    async def write(self, data: memoryview) -> None:
        """Append bytes. The buffer may be used again when this returns."""

    async def commit(self) -> None:
        """Make the bytes durable and visible under their key, all at once.

        Raises NotFound where somebody has deleted them meanwhile.
        """

    async def close(self) -> None:
        """Let go, whatever has become of it; bytes that were not committed are there until `delete`."""


class ResumableWriter(Writer, Protocol):
    """A writer that another process can go on from."""

    async def flush(self) -> None:
        """Make what was written so far outlive this process: `resume` may go on from there."""


class BlobStore(Protocol):
    """Bytes by key. Keys are made by us, never by a client.

    Every verb raises Unavailable where the store does not answer, OverLimit where it is full.
    """

    id: str
    type: str

    async def create(self, key: str, size: int | None) -> Writer:
        """Begin to write. `size` is the number of bytes where that is known before.

        Raises OverLimit where there is no room for them, Invalid where the store is read-only.
        Nothing is there before the first `write`, so there is nothing to lose hold of.
        """

    def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Return the bytes from `start` to before `stop`; raises NotFound where there are none."""

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None where there are none."""

    async def delete(self, key: str) -> None:
        """Delete the bytes, half-written ones too; return only once the store no longer has them.

        That there are none is no error. Raises Conflict where the store keeps them for now, such as for
        others that build on them: the caller tries again later.
        """

    def keys(self) -> AsyncIterator[str]:
        """Return the key of everything that the store keeps, half-written bytes too; some perhaps twice."""

    async def check(self) -> None:
        """Raise Unavailable where the store cannot be used, saying in words what is wrong with it.

        What an operator needs to find the fault, and no client may know, is in the error's notes.
        """

    async def close(self) -> None:
        """Let go of connections."""


@runtime_checkable
class Resumable(Protocol):
    """A store whose half-written bytes can be gone on with, by any process."""

    async def resume(self, key: str, offset: int, size: int) -> ResumableWriter:
        """Go on writing at an offset that a flush has reached; later bytes are dropped.

        `size` is the number of bytes that there will be in the end. At 0 this is a beginning. Raises
        Gone where the bytes are not there to be gone on with.
        """


@runtime_checkable
class HandsOff(Protocol):
    """A store whose bytes a front server can send by itself."""

    def internal_path(self, key: str) -> str | None:
        """Return the path for `X-Accel-Redirect`; None where the operator has not set that up."""


@runtime_checkable
class Signs(Protocol):
    """A store that others may read from by an address that works for a while."""

    async def signed_url(self, key: str, seconds: int) -> str:
        """Return the address."""


@runtime_checkable
class Clonable(Protocol):
    """A store where others may build on a blob."""

    async def in_use(self, key: str) -> bool:
        """Say whether somebody does: the blob cannot be deleted then."""


@runtime_checkable
class Described(Protocol):
    """A store of whose set-up operators and services of the cloud want to know something."""

    async def properties(self) -> dict[str, Any]:
        """Return it, by the names that the image API has for it."""


@runtime_checkable
class Addressed(Protocol):
    """A store whose blobs have addresses that other services of the cloud know."""

    async def url(self, key: str) -> str:
        """Return the address, without any secret."""

    async def place(self, url: str) -> str | None:
        """Return the name in the store of bytes that others wrote there; None where a URL leads elsewhere.

        Raises Invalid where the URL leads here, and may not be used.
        """
