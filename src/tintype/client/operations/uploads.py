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
    """Begin an upload of `length` bytes; gives its id. `label` is kept with it, for who comes back."""
    headers = {**_TUS, "Upload-Length": str(length)}
    if label:
        headers["Upload-Metadata"] = metadata(label)
    if store is not None:
        headers["x-image-meta-store"] = store
    return Request("POST", path("v2", "images", image_id, "uploads"), _id, headers=headers)


def offset(image_id: str, upload_id: str) -> Request[int]:
    """Tell how many bytes are safe: where to go on. Ends a piece that is on its way."""
    return Request("HEAD", _path(image_id, upload_id), _offset, headers=_TUS)


def append(image_id: str, upload_id: str, start: int) -> Request[int]:
    """Send bytes from `start` on; gives how many are there then."""
    headers = {**_TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
    return Request("PATCH", _path(image_id, upload_id), _offset, headers=headers)


def delete(image_id: str, upload_id: str) -> Request[None]:
    """End an upload; what arrived is deleted."""
    return Request("DELETE", _path(image_id, upload_id), nothing, headers=_TUS)


def metadata(label: str) -> str:
    """Write a label as tus's metadata."""
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
