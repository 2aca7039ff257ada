"""Resumable uploads over HTTP: tus 1.0 with the extensions that `options` names.

https://tus.io/protocols/resumable-upload. An upload is below its image; the last chunk makes the
image active, as `PUT /file` does.
"""

import contextlib
from email.utils import formatdate
from typing import Any, Final

import msgspec
from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.operation import Answer, Body, describe
from tintype.domain import uploads as rules
from tintype.domain.images import Limits
from tintype.domain.uploads import Upload
from tintype.errors import Invalid, VersionMismatch
from tintype.services.quotas import Slots
from tintype.services.uploads import Uploads

_VERSION: Final = "1.0.0"
_CHUNK_TYPE: Final = "application/offset+octet-stream"
_PROGRESS: Final = ("Upload-Offset", "Upload-Expires")
_CHUNK: Final = Body({_CHUNK_TYPE: parameters.BINARY})
_FIRST_CHUNK: Final = Body({_CHUNK_TYPE: parameters.BINARY}, required=False)
_TUS: Final = parameters.TUS
_OVERRIDDEN: Final = (
    msgspec.structs.replace(parameters.UPLOAD_OFFSET, required=False),
    parameters.UPLOAD_CHECKSUM,
)
"""What the method that stands for POST takes."""
_CHECKED: Final = (parameters.STORE, parameters.UPLOAD_CHECKSUM, *parameters.DIGESTS)
_ERRORS: Final = (409, 410, 412, 415, 423, 460)


class UploadsApi:
    """Handlers of `/v2/images/{id}/uploads`."""

    headers: Final = ((b"tus-resumable", _VERSION.encode()),)

    def __init__(self, uploads: Uploads, slots: Slots, limits: Limits) -> None:
        self._uploads = uploads
        self._slots = slots
        self._limit = limits.size
        self.options = {
            "Tus-Version": _VERSION,
            "Tus-Max-Size": str(limits.size),
            "Tus-Extension": "creation,creation-with-upload,expiration,checksum,termination",
            "Tus-Checksum-Algorithm": ",".join(rules.CHECKSUMS),
        }

    @describe(Answer(200, "uploads"))
    async def index(self, call: Call) -> Response:
        """List the uploads of an image. Not part of tus: for clients that have lost the URL of an upload."""
        uploads = await self._uploads.list(call.caller, call.params["id"])
        return wire.json_response({"uploads": [_view(upload) for upload in uploads]})

    @describe(
        Answer(201, headers=("Location", *_PROGRESS)),
        body=_FIRST_CHUNK,
        takes=(_TUS, parameters.UPLOAD_LENGTH, parameters.UPLOAD_METADATA, *_CHECKED),
        errors=_ERRORS,
    )
    async def create(self, call: Call) -> Response:
        """Create an upload, optionally with its first chunk."""
        self._check_version(call)
        length = rules.parse_length(call.headers.get("upload-length"), self._limit)
        has_piece = call.media_type == _CHUNK_TYPE
        if not has_piece:
            await _check_empty(call)
        # A refusal after the upload was created would leave one behind at each try.
        with self._slots.hold(call.caller) if has_piece else contextlib.nullcontext():
            upload = await self._uploads.create(
                call.caller,
                call.params["id"],
                length,
                metadata=rules.check_metadata(call.headers.get("upload-metadata")),
                expected=call.expected_digests(),
                store_id=call.headers.get("x-image-meta-store"),
            )
            if has_piece and length:
                upload = await self._append(call, upload.id, 0)
        here = call.route_path.rstrip("/").replace("{id}", upload.image_id)  # of the API or the page
        location = f"{call.base_url_text}{here}/{upload.id}"
        return Response(status_code=201, headers={"Location": location, **_progress(upload)})

    @describe(
        Answer(200, headers=("Upload-Length", "Upload-Metadata", "Cache-Control", *_PROGRESS)),
        takes=(_TUS,),
        errors=(412,),
    )
    async def show(self, call: Call) -> Response:
        """Return `Upload-Offset`: where to continue."""
        self._check_version(call)
        upload = await self._uploads.show(call.caller, call.params["id"], call.params["upload"])
        headers = {"Upload-Length": str(upload.length), "Cache-Control": "no-store", **_progress(upload)}
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return Response(status_code=200, headers=headers)

    @describe(
        Answer(204, headers=_PROGRESS),
        body=_CHUNK,
        takes=(_TUS, parameters.UPLOAD_OFFSET, parameters.UPLOAD_CHECKSUM),
        errors=_ERRORS,
    )
    async def append(self, call: Call) -> Response:
        """Append the next chunk."""
        self._check_version(call)
        call.check_type(_CHUNK_TYPE)
        offset = rules.parse_offset(call.headers.get("upload-offset"))
        with self._slots.hold(call.caller):
            upload = await self._append(call, call.params["upload"], offset)
        return Response(status_code=204, headers=_progress(upload))

    @describe(Answer(204), takes=(_TUS,), errors=(409, 412, 423))
    async def remove(self, call: Call) -> Response:
        """Delete an upload."""
        self._check_version(call)
        await self._uploads.delete(call.caller, call.params["id"], call.params["upload"])
        return Response(status_code=204)

    @describe(
        Answer(200, headers=("Upload-Length", "Upload-Metadata", "Cache-Control", *_PROGRESS)),
        Answer(204, headers=_PROGRESS),
        body=_FIRST_CHUNK,
        takes=(_TUS, parameters.OVERRIDE, *_OVERRIDDEN),
        errors=_ERRORS,
    )
    async def override(self, call: Call) -> Response:
        """Handle a POST as the method in `X-HTTP-Method-Override`, as tus requires."""
        handlers = {"PATCH": self.append, "DELETE": self.remove, "HEAD": self.show}
        method = call.headers.get("x-http-method-override", "")
        if method not in handlers:
            raise Invalid("A POST to an upload needs X-HTTP-Method-Override: PATCH, DELETE or HEAD.")
        return await handlers[method](call)

    async def _append(self, call: Call, upload_id: str, offset: int) -> Upload:
        length = call.headers.get("content-length")
        return await self._uploads.append(
            call.caller,
            call.params["id"],
            upload_id,
            call.data(),
            offset=offset,
            size=None if length is None else rules.parse_offset(length, "Content-Length"),
            checksum=rules.parse_checksum(call.headers.get("upload-checksum")),
        )

    @staticmethod
    def _check_version(call: Call) -> None:
        if call.headers.get("tus-resumable") != _VERSION:
            raise VersionMismatch(
                f"The protocol is tus {_VERSION}: send the header Tus-Resumable: {_VERSION}.",
                supported=_VERSION,
            )


async def _check_empty(call: Call) -> None:
    """Check the media type if there is a body; without one, clients such as aiohttp send any type."""
    async for part in call.stream():
        if part:
            call.check_type(_CHUNK_TYPE)


def _progress(upload: Upload) -> dict[str, str]:
    expires = formatdate(upload.expires_at // 1_000_000, usegmt=True)
    return {"Upload-Offset": str(upload.offset), "Upload-Expires": expires}


def _view(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "image_id": upload.image_id,
        "length": upload.length,
        "offset": upload.offset,
        "metadata": upload.metadata,
        "expires_at": wire.timestamp(upload.expires_at),
        "self": f"/v2/images/{upload.image_id}/uploads/{upload.id}",
    }
