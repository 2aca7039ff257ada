"""Blobs in S3 and compatible services. obstore reads; aiobotocore writes.

A large object is written as a multipart upload, which S3 keeps apart until it is completed: obstore can
neither abort nor resume one, so that needs the whole API. Parts are made in order and, but for the last, all
of one size, so that an offset determines which parts exist. When an upload pauses, the bytes of the
unfinished part are in an object `<key>.rest-<part>` beside it.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store as Bucket

from tintype.blobs.objects import ATTEMPTS, ObjectStore, retry_options
from tintype.errors import Conflict, Gone, NotFound, OverLimit

_REST: Final = ".rest-"
_PART: Final = 8 << 20
_PARTS: Final = 10_000
"""The maximum number of parts of an object."""
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchUpload", "404"})
_FULL: Final = frozenset({"QuotaExceeded", "EntityTooLarge", "StorageFull", "XMinioStorageFull"})
_ADVICE: Final = {
    "InvalidAccessKeyId": "the setting access_key names no user",
    "SignatureDoesNotMatch": "the setting secret_key is wrong",
    "AccessDenied": "the user may not list this bucket",
    "PermanentRedirect": "the bucket is in another region: the setting region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: the setting region",
}
"""The meanings of S3's responses to a check."""


class S3Store(ObjectStore):
    """The objects with one prefix in a bucket."""

    def __init__(
        self,
        store_id: str,
        *,
        bucket: str,
        prefix: str,
        endpoint: str | None,
        region: str,
        access_key: str,
        secret_key: str,
        timeout: int,
    ) -> None:
        """Create a store; without an endpoint it is Amazon's."""
        config: Any = {
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "region": region,
            "virtual_hosted_style_request": "false" if endpoint else "true",
        }
        if endpoint:
            config["endpoint"] = endpoint
        kept = Bucket(bucket, config=config, **retry_options(timeout))
        super().__init__(store_id, "s3", kept, prefix, bucket)
        self.bucket = bucket
        self._timeout = timeout
        self._options = {
            "region_name": region,
            "endpoint_url": endpoint,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "config": AioConfig(
                signature_version="s3v4",
                s3={"addressing_style": "path" if endpoint else "auto", "payload_signing_enabled": False},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=timeout,
                retries={"max_attempts": ATTEMPTS, "mode": "standard"},
            ),
        }
        self._opening = asyncio.Lock()
        self._context: Any = None
        self._client: Any = None

    async def create(self, key: str, size: int | None) -> "_S3Writer":
        """Start writing."""
        return _S3Writer(self, key, size)

    async def resume(self, key: str, offset: int, size: int) -> "_S3Writer":
        """Continue writing after the existing parts and the rest."""
        writer = _S3Writer(self, key, size)
        if offset == 0:
            await self.delete(key)
        else:
            await writer.reopen(offset)
        return writer

    async def delete(self, key: str) -> None:
        """Delete the object, its rest, and the parts of unfinished uploads."""
        path = self.path(key)
        aborted = await self._abort_uploads(path)
        if aborted and await self._abort_uploads(path):  # parts in flight may survive an abort
            raise Conflict("The store is still receiving parts of the image.")
        await self.delete_object(path)
        await self.delete_rests(path)

    async def _abort_uploads(self, path: str) -> int:
        """Abort the multipart uploads of an object; return their number."""
        found = [upload_id async for each, upload_id in self.uploads(path) if each == path]
        for upload_id in found:
            with contextlib.suppress(NotFound):  # completed or aborted meanwhile
                await self.call("abort_multipart_upload", Key=path, UploadId=upload_id)
        return len(found)

    async def delete_rests(self, path: str, but: Collection[str] = ()) -> None:
        """Delete the rests of unfinished parts, except `but`."""
        more: dict[str, str] = {}
        while True:
            page = await self.call("list_objects_v2", Prefix=path + _REST, **more)
            for found in page.get("Contents", ()):
                if found["Key"] not in but:
                    await self.delete_object(found["Key"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def keys(self) -> AsyncIterator[str]:
        """Yield the key of every object and of every unfinished upload."""
        async for key in super().keys():
            yield key.partition(_REST)[0]
        async for path, _ in self.uploads(self._prefix):
            yield path.removeprefix(self._prefix)

    async def check(self) -> None:
        """List one object, which tests the bucket, the credentials and the right to list."""
        await self.call("list_objects_v2", Prefix=self._prefix, MaxKeys=1)

    async def close(self) -> None:
        """Close connections."""
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
            self._context = self._client = None

    async def uploads(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """Yield path and id of the unfinished multipart uploads with a prefix."""
        after: dict[str, str] = {}
        while True:
            page = await self.call("list_multipart_uploads", Prefix=prefix, **after)
            for found in page.get("Uploads", ()):
                yield found["Key"], found["UploadId"]
            if not page.get("IsTruncated"):
                return
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation of the S3 API; map its errors to the service's errors."""
        async with self._opening:
            if self._client is None:
                self._context = get_session().create_client("s3", **self._options)
                self._client = await self._context.__aenter__()
        with self._map_errors():
            async with asyncio.timeout(self._timeout * ATTEMPTS):  # its own ignores the time to send a body
                answer: dict[str, Any] = await getattr(self._client, operation)(
                    Bucket=self.bucket, **arguments
                )
        return answer

    @contextlib.contextmanager
    def _map_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _MISSING:
                raise NotFound("The stored bytes are missing.") from error
            if code in _FULL:
                raise OverLimit("Image storage media is full.") from error
            if code == "NoSuchBucket":
                raise self.absent() from error
            failure = self.unavailable(error)
            failure.add_note(f"bucket {self.bucket} at {self._options['endpoint_url'] or 'Amazon'}")
            if code in _ADVICE:
                failure.add_note(_ADVICE[code])
            raise failure from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise self.unavailable(error) from error


class _Part(io.BytesIO):
    """A part being filled. The client must not close it, because it may have to be sent again."""

    def close(self) -> None:
        """Do nothing: stay open."""


class _S3Writer:
    def __init__(self, store: S3Store, key: str, size: int | None) -> None:
        self._store = store
        self._key = key
        self._path = store.path(key)
        self._size = size
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._buffer = _Part()
        self._begun = False
        self._complete = False
        self._noted: str | None = None

    async def reopen(self, offset: int) -> None:
        """Load the parts before an offset, and the rest."""
        length = self._part_length()
        count, rest = divmod(offset, length)
        uploads = [found async for found in self._store.uploads(self._path)]
        self._upload = next((upload_id for path, upload_id in uploads if path == self._path), None)
        self._begun = True
        if self._upload is None and self._size and await self._store.size(self._key) == self._size:
            self._complete = True  # the process that completed it died before recording that
            return
        try:
            if self._upload is not None:
                self._parts = [part async for part in self._stored_parts(count)]
            if rest:
                self._noted = self._rest()
                self._buffer.write(await self._store.get(self._noted, 0, rest))
        except NotFound:
            self._parts = []
        if len(self._parts) != count or self._buffer.tell() != rest:
            raise Gone("The data received so far no longer exists.")

    async def write(self, data: memoryview) -> None:
        """Append bytes; a full part is sent once more follows, so that the last one can still be kept."""
        self._begun = True
        while data and not self._complete:
            if self._buffer.tell() == self._part_length():
                await self._send()
            room = self._part_length() - self._buffer.tell()
            self._buffer.write(data[:room])
            data = data[room:]

    async def flush(self) -> None:
        """Store the unfinished part; the previous flush's object stays until this flush is recorded."""
        if self._complete or not self._buffer.tell():
            return
        rest = self._rest()
        await self._store.put(rest, self._buffer.getvalue())
        await self._store.delete_rests(self._path, but={rest, self._noted or rest})
        self._noted = rest

    async def commit(self) -> None:
        """Complete the upload; few bytes are stored as an object in one request."""
        if self._complete:
            return
        if self._upload is None:
            await self._store.put(self._path, self._buffer.getvalue())
        else:
            if self._buffer.tell():
                await self._send()
            await self._store.call(
                "complete_multipart_upload",
                Key=self._path,
                UploadId=self._upload,
                MultipartUpload={"Parts": self._parts},
            )
        await self._store.delete_rests(self._path)

    async def close(self) -> None:
        """Release the buffer."""
        self._buffer = _Part()

    async def _send(self) -> None:
        if self._upload is None:
            self._upload = (await self._store.call("create_multipart_upload", Key=self._path))["UploadId"]
        number = len(self._parts) + 1
        if number > _PARTS:
            raise OverLimit(
                f"The image is too large for an upload of undeclared size to the store '{self._store.id}'. "
                "Declare the size with the header x-openstack-image-size."
            )
        self._buffer.seek(0)
        try:
            sent = await self._store.call(
                "upload_part", Key=self._path, UploadId=self._upload, PartNumber=number, Body=self._buffer
            )
        finally:
            self._buffer.seek(0, io.SEEK_END)  # a part that was rejected is still to be kept
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer = _Part()

    async def _stored_parts(self, count: int) -> AsyncIterator[dict[str, Any]]:
        marker = 0
        while marker < count:
            page = await self._store.call(
                "list_parts", Key=self._path, UploadId=self._upload, PartNumberMarker=marker
            )
            for part in page.get("Parts", ()):
                if part["PartNumber"] <= count and part["Size"] == self._part_length():
                    yield {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
            if not page.get("IsTruncated"):
                return
            marker = page["NextPartNumberMarker"]

    def _rest(self) -> str:
        return f"{self._path}{_REST}{len(self._parts) + 1}"

    def _part_length(self) -> int:
        """Return the size of the next part in bytes: constant if the total size is known, else growing."""
        if self._size is not None:
            return max(_PART, -(-self._size // (_PARTS - 1)))
        return _PART << min(3, len(self._parts) // 1000)
