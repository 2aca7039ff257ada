"""Blobs as objects in a bucket, through obstore: S3, Google Cloud Storage, Azure Blob Storage.

Reads are ranges of a few megabytes, some of them read ahead: each is a request with its own timeout and
retries, so a long download survives a restart of the gateway.
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
"""Seconds of retries for a service that becomes unavailable during a download."""
_PART: Final = 8 << 20
ATTEMPTS: Final = 3
_OURS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the names of the service's objects begin with if there is no prefix."""
_MARK: Final = ".writing"
"""Suffix of the empty object that marks an upload: the provider cannot list unfinished uploads."""
_SCHEMES: Final = {"s3": "s3", "gcs": "gs", "azure": "az"}


class ObjectStore:
    """The objects below one prefix of a bucket, each named by its key."""

    def __init__(self, store_id: str, kind: str, bucket: Bucket, prefix: str, name: str) -> None:
        """Create it; `name` is the bucket's."""
        self.id = store_id
        self.type = kind
        self._root = f"{_SCHEMES[kind]}://{name}/"
        self._bucket = bucket
        self._prefix = prefix

    async def create(self, key: str, size: int | None) -> Writer:
        """Start writing. The provider enforces limits of size and space."""
        return _ObjectWriter(self, key)

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes in chunks, with some ranges read ahead.

        If the service is unavailable for a moment, each range is retried for some seconds.
        """
        ranges = _Ranges(self, self.path(key))
        pieces = read_ahead(ranges.read, start, stop, block=_BLOCK, ahead=_AHEAD)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there are none."""
        return await self._size(self.path(key))

    async def delete(self, key: str) -> None:
        """Delete the object; succeed if there is none. Its mark is deleted first: a writer checks it last."""
        if not key.startswith(FOREIGN):
            await self.delete_object(self.path(key) + _MARK)
        await self.delete_object(self.path(key))

    async def keys(self) -> AsyncIterator[str]:
        """Yield the key of every object and upload, a page at a time; some twice."""
        try:
            async for page in obstore.list(self._bucket, prefix=self._prefix or None):
                for found in page:
                    yield found["path"].removeprefix(self._prefix).removesuffix(_MARK)
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def url(self, key: str) -> str:
        """Return the URL of an object, in the form that users of image services know."""
        return f"{self._root}{self.path(key)}"

    async def place(self, url: str) -> str | None:
        """Return the name of an object in this bucket that the service has not written."""
        name = url.removeprefix(self._root)
        if name == url or {"", ".", ".."} & set(name.split("/")):  # which the library would normalize
            return None
        ours = name.startswith(self._prefix) if self._prefix else _OURS.match(name)
        return None if ours else name

    async def check(self) -> None:
        """List one object, which tests the bucket, the credentials and the right to list."""
        try:
            async for _page in obstore.list(self._bucket, prefix=self._prefix or None, chunk_size=1):
                return
        except FileNotFoundError as error:
            raise self.absent() from error
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def close(self) -> None:
        """Do nothing: obstore manages its connections."""

    def path(self, key: str) -> str:
        """Return the name of a key's object."""
        return name_in_store(key, f"{self._prefix}{key}")

    async def get(self, path: str, start: int, stop: int) -> bytes:
        """Return a range of an object."""
        return bytes((await self.get_version(path, start, stop))[1])

    async def get_version(self, path: str, start: int, stop: int) -> tuple[str | None, memoryview]:
        """Return a range of an object, and the ETag of its version."""
        try:
            found = await obstore.get_async(self._bucket, path, options={"range": (start, stop)})
            return found.meta["e_tag"], memoryview(await found.bytes_async())
        except FileNotFoundError as error:
            await self.check()  # a missing bucket is another error
            raise NotFound("The stored bytes are missing.") from error
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def has(self, path: str) -> bool:
        """Return whether an object exists."""
        return await self._size(path) is not None

    async def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Store a small object in one request."""
        try:
            await obstore.put_async(self._bucket, path, data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error

    async def delete_object(self, path: str) -> None:
        """Delete an object; succeed if there is none."""
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
        """Return the error for a store that cannot be used; the library's text may contain addresses."""
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
            await self.check()  # without the bucket there is no object, but that proves nothing
            return None
        except (BaseError, OSError) as error:
            raise self.unavailable(error) from error


class _Ranges:
    """Reads ranges of one version of an object, and retries transient failures of the service."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store = store
        self._path = path
        self._tag: str | None = None
        self._begun = False

    async def read(self, at: int, length: int) -> memoryview:
        """Return a range; raises Unavailable if it cannot be read, or is from another version."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.25
        while True:
            try:
                tag, data = await self._store.get_version(self._path, at, at + length)
            except Unavailable:
                if not self._begun or time.monotonic() + pause > deadline:  # other stores may have the bytes
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
    """Writes a large object by the provider's own kind of multipart upload.

    An empty object marks the upload until it is committed, so that it can be found and deleted. Its parts are
    invisible: Azure drops them after a week; for Google, a lifecycle rule of the bucket has to (docs/howto).
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._path = store.path(key)
        self._writer: Any = None  # obstore exports the type to type checkers only

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
        """Complete the upload; if the mark is gone by then, delete the object and raise NotFound."""
        if self._writer is None:
            await self._store.put(self._path, b"")
            return
        try:
            await self._writer.close()
        except (BaseError, OSError) as error:
            raise self._store.unavailable(error) from error
        if not await self._store.has(self._path + _MARK):
            await self._store.delete_object(self._path)
            raise NotFound("The data was deleted meanwhile.")
        with contextlib.suppress(Unavailable):  # it goes with the object at the latest
            await self._store.delete_object(self._path + _MARK)

    async def close(self) -> None:
        """Abandon the parts."""
        self._writer = None


def retry_options(timeout: int) -> dict[str, Any]:
    """Return obstore's settings for requests that time out after so many seconds and are retried."""
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
    """Open a bucket; raises ValueError for options that obstore rejects, without their values."""
    try:
        return kind(bucket, config=dict(options), **retry_options(timeout))
    except BaseError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ValueError(re.sub(r'"[^"]*"', "…", first)) from None
