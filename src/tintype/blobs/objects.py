"""Blobs as objects in a bucket, through obstore: S3, Google Cloud Storage, Azure Blob Storage.

Reads are ranges of a few megabytes, some of them ahead of the reader: each is a request with a time of
its own that may be tried again, so a long download outlives a gateway that does not.
"""

import asyncio
import contextlib
import datetime as dt
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore
from obstore.store import ObjectStore as Bucket

from tintype.blobs.base import Writer, name_in_store
from tintype.blobs.failures import service_failure
from tintype.blobs.reading import read_ahead
from tintype.domain.blobs import FOREIGN
from tintype.errors import NotFound, Unavailable

_BLOCK: Final = 4 << 20
_AHEAD: Final = 2
_PATIENCE_SECONDS: Final = 10.0
"""For a service that goes away in the middle of a download."""
_PART: Final = 8 << 20
ATTEMPTS: Final = 3
_OURS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What our own names begin with where there is no prefix."""
_MARK: Final = ".writing"
"""Ends the name of the empty object that stands beside an upload: the provider lists no upload of its own."""
_SCHEMES: Final = {"s3": "s3", "gcs": "gs", "azure": "az"}


class ObjectStore:
    """The objects below one prefix of a bucket, each named by its key."""

    def __init__(self, store_id: str, kind: str, bucket: Bucket, prefix: str, name: str) -> None:
        """Make it; `name` is the bucket's."""
        self.id = store_id
        self.type = kind
        self._root = f"{_SCHEMES[kind]}://{name}/"
        self._bucket = bucket
        self._prefix = prefix

    async def create(self, key: str, size: int | None) -> Writer:
        """Begin to write. Size and room are the provider's affair."""
        return _ObjectWriter(self, key)

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Return the bytes in pieces, some ranges read ahead of the reader.

        Where the service goes away for a moment, they go on by range: each range is asked for until it is
        there, for some seconds.
        """
        ranges = _Ranges(self, self.path(key))
        pieces = read_ahead(ranges.read, start, stop, block=_BLOCK, ahead=_AHEAD)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None where there are none."""
        return await self._size(self.path(key))

    async def delete(self, key: str) -> None:
        """Delete the object; well if there is none. Its mark goes first: who is writing looks for it last."""
        if not key.startswith(FOREIGN):
            await self.delete_object(self.path(key) + _MARK)
        await self.delete_object(self.path(key))

    async def keys(self) -> AsyncIterator[str]:
        """Return the key of every object and upload, a page at a time; some twice."""
        try:
            async for page in obstore.list(self._bucket, prefix=self._prefix or None):
                for found in page:
                    yield found["path"].removeprefix(self._prefix).removesuffix(_MARK)
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def signed_url(self, key: str, seconds: int) -> str:
        """Return an address that anybody may read from for a while."""
        duration = dt.timedelta(seconds=seconds)
        try:
            return await obstore.sign_async(self._signer(), "GET", self.path(key), duration)
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def url(self, key: str) -> str:
        """Return the address of an object, as the image service's users know them."""
        return f"{self._root}{self.path(key)}"

    async def place(self, url: str) -> str | None:
        """Know the objects of this bucket that are not ours."""
        name = url.removeprefix(self._root)
        if name == url or {"", ".", ".."} & set(name.split("/")):  # which the library would write otherwise
            return None
        ours = name.startswith(self._prefix) if self._prefix else _OURS.match(name)
        return None if ours else name

    async def check(self) -> None:
        """List one object: so the bucket, the credentials and the right to list are proved."""
        try:
            async for _page in obstore.list(self._bucket, prefix=self._prefix or None, chunk_size=1):
                return
        except FileNotFoundError as error:
            raise self.absent() from error
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def close(self) -> None:
        """Let go of nothing: obstore looks after its connections."""

    def path(self, key: str) -> str:
        """Return the name of a key's object."""
        return name_in_store(key, f"{self._prefix}{key}")

    async def get(self, path: str, start: int, stop: int) -> bytes:
        """Return a range of an object."""
        return bytes((await self.get_version(path, start, stop))[1])

    async def get_version(self, path: str, start: int, stop: int) -> tuple[str | None, memoryview]:
        """Return a range of an object, and the tag of the version that it is from."""
        try:
            found = await obstore.get_async(self._bucket, path, options={"range": (start, stop)})
            return found.meta["e_tag"], memoryview(await found.bytes_async())
        except FileNotFoundError as error:
            await self.check()  # a bucket that is missing is another matter
            raise NotFound("The stored bytes are missing.") from error
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def has(self, path: str) -> bool:
        """Return whether there is an object."""
        return await self._size(path) is not None

    async def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Store a small object at once."""
        try:
            await obstore.put_async(self._bucket, path, data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def delete_object(self, path: str) -> None:
        """Delete an object; well if there is none."""
        try:
            await obstore.delete_async(self._bucket, path)
        except FileNotFoundError:
            await self.check()
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    def open_writer(self, path: str) -> Any:
        """Return obstore's own writer of large objects."""
        return obstore.open_writer_async(self._bucket, path, buffer_size=_PART, max_concurrency=1)

    def unavailable(self, error: Exception) -> Unavailable:
        """Return the error for a store that cannot be used; its own words may hold addresses."""
        message = f"The store '{self.id}' cannot be used: {service_failure(error)}."
        failure = Unavailable(message, retry_after=5)
        failure.add_note(f"objects below {self._root}{self._prefix}")
        return failure

    def absent(self) -> Unavailable:
        """Return the error for a bucket that does not exist."""
        failure = Unavailable(f"The bucket of the store '{self.id}' does not exist.", retry_after=5)
        failure.add_note(f"{self._root} must be created before")
        return failure

    async def _size(self, path: str) -> int | None:
        try:
            return int((await obstore.head_async(self._bucket, path))["size"])
        except FileNotFoundError:
            await self.check()  # where the bucket is missing is no object, but that says nothing
            return None
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    def _signer(self) -> Any:
        return self._bucket


class _Ranges:
    """Ranges of one version of an object, across failures of the service that pass."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store = store
        self._path = path
        self._tag: str | None = None
        self._begun = False

    async def read(self, at: int, length: int) -> memoryview:
        """Return a range; raises Unavailable where it cannot be had, or is from another version."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.25
        while True:
            try:
                tag, data = await self._store.get_version(self._path, at, at + length)
            except Unavailable:
                if not self._begun or time.monotonic() + pause > deadline:  # others may have the bytes
                    raise
            else:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        if self._begun and tag != self._tag:
            message = f"The object in the store '{self._store.id}' changed while it was read."
            raise Unavailable(message, retry_after=5)
        self._begun, self._tag = True, tag
        return data


class _ObjectWriter:
    """A large object by the provider's own means.

    An empty object marks the upload until it is committed, so that it is found, and can be deleted. Its
    parts are seen by nobody: Azure drops them after a week; for Google a life-cycle rule of the bucket must
    (docs/howto).
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._path = store.path(key)
        self._writer: Any = None  # obstore exports its type to checkers only

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        try:
            if self._writer is None:
                await self._store.put(self._path + _MARK, b"")
                self._writer = self._store.open_writer(self._path)
            await self._writer.write(bytes(data))
        except (BaseError, OSError) as error:
            raise self._store.unavailable(error) from error

    async def commit(self) -> None:
        """Put the parts together; raises NotFound, and deletes the object, where the mark is gone by then."""
        if self._writer is None:
            await self._store.put(self._path, b"")
            return
        try:
            await self._writer.close()
        except (BaseError, OSError) as error:
            raise self._store.unavailable(error) from error
        if not await self._store.has(self._path + _MARK):
            await self._store.delete_object(self._path)
            raise NotFound("The bytes were deleted meanwhile.")
        with contextlib.suppress(Unavailable):  # it goes with the object at the latest
            await self._store.delete_object(self._path + _MARK)

    async def close(self) -> None:
        """Let go of the parts."""
        self._writer = None


def patience(timeout: int) -> dict[str, Any]:
    """Return obstore's settings for requests that may be silent for so many seconds, and are tried again."""
    return {
        "client_options": {"connect_timeout": "5s", "timeout": f"{timeout}s", "allow_http": True},
        "retry_config": {"max_retries": ATTEMPTS - 1, "retry_timeout": dt.timedelta(seconds=timeout)},
    }


def google(
    store_id: str, *, bucket: str, prefix: str, timeout: int, options: Mapping[str, str]
) -> ObjectStore:
    """Return a store in Google Cloud Storage; `options` are obstore's, such as service_account."""
    opened = _opened(GCSStore, bucket, timeout, options)
    return ObjectStore(store_id, "gcs", opened, prefix, bucket)


def azure(
    store_id: str, *, bucket: str, prefix: str, timeout: int, options: Mapping[str, str]
) -> ObjectStore:
    """Return a store in Azure Blob Storage; `options` are obstore's, such as account_name and access_key."""
    opened = _opened(AzureStore, bucket, timeout, options)
    return ObjectStore(store_id, "azure", opened, prefix, bucket)


def _opened(kind: Any, bucket: str, timeout: int, options: Mapping[str, str]) -> Any:
    """Open a bucket; raises ValueError for options that obstore does not take, without their values."""
    try:
        return kind(bucket, config=dict(options), **patience(timeout))
    except BaseError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ValueError(re.sub(r'"[^"]*"', "…", first)) from None
