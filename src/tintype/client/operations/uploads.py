"""Resumable uploads: tus 1.0 (https://tus.io/protocols/resumable-upload) below an image, as in Tintype."""

import base64
from typing import Final

from tintype.client import errors
from tintype.client.models import Upload
from tintype.client.requests import Reply, Request, many, nothing, path

_TUS: Final = {"Tus-Resumable": "1.0.0"}


def list_(image_id: str) -> Request[list[Upload]]:
    """List the unfinished uploads of an image."""
    return Request("GET", path("v2", "images", image_id, "uploads"), many(Upload, "uploads"))


def create(image_id: str, length: int, *, label: str = "", store: str | None = None) -> Request[str]:
    """Create an upload of `length` bytes; return its id. `label` is stored with it, to find it again."""
    headers = {**_TUS, "Upload-Length": str(length)}
    if label:
        headers["Upload-Metadata"] = metadata(label)
    if store is not None:
        headers["x-image-meta-store"] = store
    return Request("POST", path("v2", "images", image_id, "uploads"), _id, headers=headers)


def offset(image_id: str, upload_id: str) -> Request[int]:
    """Return the offset: the number of bytes stored. Ends a request that is still sending to the upload."""
    return Request("HEAD", _path(image_id, upload_id), _offset, headers=_TUS)


def append(image_id: str, upload_id: str, start: int) -> Request[int]:
    """Append bytes at offset `start`; return the new offset."""
    headers = {**_TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
    return Request("PATCH", _path(image_id, upload_id), _offset, headers=headers)


def delete(image_id: str, upload_id: str) -> Request[None]:
    """Delete an upload with the bytes that arrived."""
    return Request("DELETE", _path(image_id, upload_id), nothing, headers=_TUS)


def metadata(label: str) -> str:
    """Return a label in the format of tus metadata."""
    return f"label {base64.b64encode(label.encode()).decode()}"


def _path(image_id: str, upload_id: str) -> str:
    return path("v2", "images", image_id, "uploads", upload_id)


def _id(reply: Reply) -> str:
    return reply.headers.get("location", "").rstrip("/").rpartition("/")[2]


def _offset(reply: Reply) -> int:
    offset = reply.headers.get("upload-offset", "")
    if not offset.isdecimal():
        raise errors.CommunicationError("The answer has no Upload-Offset.")
    return int(offset)
