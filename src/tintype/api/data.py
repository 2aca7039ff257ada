"""Image data over HTTP."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tintype.api import parameters
from tintype.api.call import Call
from tintype.api.extensions import TAKEN
from tintype.api.operation import Answer, describe
from tintype.blobs.reading import closing
from tintype.domain import conditions, ranges
from tintype.domain.stores import parse_names
from tintype.errors import Invalid
from tintype.services.data import ImageData
from tintype.services.downloads import DownloadRequest, Downloads
from tintype.services.quotas import Slots

_BINARY = "application/octet-stream"
_HAND_OFF = "x-accel-redirect"
"""The X-Sendfile-Type of a front server that sends files itself. For any other client a response without
bytes would look like an empty image."""
_TAKEN: Final = (parameters.DECLARED_SIZE, *parameters.DIGESTS)
_WHOLE: Final = ("Accept-Ranges", "ETag", "Repr-Digest", "Content-MD5")


class DataApi:
    """Handlers of `/v2/images/{id}/file`."""

    def __init__(self, data: ImageData, downloads: Downloads, slots: Slots) -> None:
        self._data = data
        self._downloads = downloads
        self._slots = slots

    @describe(Answer(204), body=parameters.DATA, takes=(parameters.STORE, *_TAKEN), errors=(409, 410, 415))
    async def upload(self, call: Call) -> Response:
        """Store the bytes of an image."""
        call.check_type(_BINARY)
        await self._data.upload(
            call.caller,
            call.params["id"],
            call.data(),
            size=_declared_size(call),
            store_id=call.headers.get("x-image-meta-store"),
            expected=call.expected_digests(),
        )
        return Response(status_code=204)

    @describe(Answer(204), body=parameters.DATA, takes=_TAKEN, errors=(409, 410, 415))
    async def stage(self, call: Call) -> Response:
        """Store bytes for a later import."""
        call.check_type(_BINARY)
        await self._data.stage(
            call.caller,
            call.params["id"],
            call.data(),
            size=_declared_size(call),
            expected=call.expected_digests(),
        )
        return Response(status_code=204)

    @describe(
        Answer(200, parameters.BINARY, (*_WHOLE, "X-Accel-Redirect"), _BINARY),
        Answer(204),
        Answer(206, parameters.BINARY, (*_WHOLE, "Content-Range"), _BINARY),
        Answer(304, headers=("Accept-Ranges", "ETag")),
        takes=parameters.DOWNLOAD,
        errors=(416, 429),
    )
    async def download(self, call: Call) -> Response:
        """Send an image's bytes, or one range of them."""
        headers = call.headers
        if_range = headers.get("if-range")  # a date never matches: no strong validator
        request = DownloadRequest(
            range=ranges.parse(headers.get("range"), headers.get("content-range")),
            range_of=None if if_range is None else if_range.strip(),
            known_tags=conditions.parse_tags(headers.get("if-none-match")),
            stores=parse_names(call.query_params.get("prefer")),
        )
        download = await self._downloads.begin(call.caller, call.params["id"], request)
        if download is None:
            return Response(status_code=204)
        image = download.image
        answer = {"Accept-Ranges": "bytes"}
        if tag := conditions.etag(image):
            answer["ETag"] = tag
        if download.not_modified:
            return Response(status_code=304, headers=answer)
        answer["Content-Length"] = str(download.stop - download.start)
        if digest := conditions.repr_digest(image):
            answer["Repr-Digest"] = digest
        if image.checksum:
            answer["Content-MD5"] = image.checksum  # like Glance: of the whole image, in hex, for ranges too
        if download.partial:
            answer["Content-Range"] = f"bytes {download.start}-{download.stop - 1}/{image.size}"
        status = 206 if download.partial else 200
        if download.chunks is None or call.method == "HEAD":
            return Response(None, status, answer, _BINARY)
        in_front = headers.get("x-sendfile-type", "").lower() == _HAND_OFF
        if download.internal_path is not None and in_front:
            return _handed_off(download.internal_path, answer)
        stream = _Stream(download.chunks, status, answer)
        slot = self._slots.acquire(call.caller)  # last: only the stream releases it
        stream.ended = functools.partial(self._slots.release, slot)
        return stream


class _Stream(StreamingResponse):
    """Reads chunks no faster than the client takes them, and releases everything at the end."""

    ended: Callable[[], None]
    """Called when it has ended, however it ends."""

    def __init__(self, chunks: AsyncIterator[bytes], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(chunks, status, headers, _BINARY)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = scope.get("extensions", {}).get(TAKEN)
        try:
            async with closing(self._chunks):
                if taken is None:
                    await super().__call__(scope, receive, send)
                else:
                    await self._send_as_taken(send, taken)
        finally:
            self.ended()

    async def _send_as_taken(self, send: Send, taken: Callable[[], Awaitable[bool]]) -> None:
        """Read the next chunk only after the client has taken the previous one; raises ClientDisconnect."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not await taken():
                raise ClientDisconnect
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _handed_off(path: str, headers: dict[str, str]) -> Response:
    """Return a response that makes the front server send the bytes; it handles `Range` itself."""
    whole = {
        name: value for name, value in headers.items() if name not in {"Content-Length", "Content-Range"}
    }
    return Response(None, 200, {**whole, "X-Accel-Redirect": path}, _BINARY)


def _declared_size(call: Call) -> int | None:
    """Return the size that a client declares, in its header or by the length of the body.

    0 in the header declares nothing: clients of Glance send it when they do not know the size.
    """
    declared = call.headers.get("x-openstack-image-size")
    if declared is not None:
        if not declared.isascii() or not declared.isdigit() or len(declared) > 19:
            raise Invalid("Invalid image size in the header x-openstack-image-size.")
        if int(declared):
            return int(declared)
    length = call.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) <= 19 else None
