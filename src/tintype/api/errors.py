"""Errors as HTTP responses: their statuses, headers and JSON.

`{"error": {"code", "title", "message", "request_id"}}` is Keystone's form. Every client reads
it: python-glanceclient, libcloud and fog look for `message` in the first object inside the document, and
crash on a flat one.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from tintype import errors

STATUS: Final[Mapping[type[errors.TintypeError], int]] = {
    errors.Invalid: 400,
    errors.BadRange: 416,
    errors.ChecksumMismatch: 460,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Locked: 423,
    errors.Gone: 410,
    errors.VersionMismatch: 412,
    errors.OverLimit: 413,
    errors.UnsupportedMedia: 415,
    errors.Disconnected: 499,
    errors.TooSlow: 408,
    errors.TooManyAttempts: 429,
    errors.Unimplemented: 501,
    errors.Unavailable: 503,
}

_TITLES: Final = {460: "Checksum Mismatch", 499: "Client Closed Request"}
"""Names of statuses outside the HTTP registry: the first is from tus, the second is never sent."""


def status_of(error: errors.TintypeError) -> int:
    """Return the HTTP status of an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def headers_of(error: errors.TintypeError) -> dict[str, str]:
    """Return the headers for the details of an error, such as `Retry-After`."""
    headers = {}
    if isinstance(error, errors.Temporary) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, errors.BadRange):
        headers["Content-Range"] = f"bytes */{error.size}"
    elif isinstance(error, errors.VersionMismatch):
        headers["Tus-Version"] = error.supported
    elif isinstance(error, errors.TooSlow) and error.closes:
        headers["Connection"] = "close"
    elif isinstance(error, errors.UnsupportedMedia) and error.patch_types:
        headers["Accept-Patch"] = ", ".join(error.patch_types)
    return headers


def document(status: int, message: str, request_id: str) -> bytes:
    """Return the JSON of an error."""
    error = {"code": status, "title": title(status), "message": message, "request_id": request_id}
    return msgspec.json.encode({"error": error})


def title(status: int) -> str:
    """Return the name of a status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def response(
    status: int, message: str, request_id: str, headers: Headers, extra: Mapping[str, str] | None = None
) -> Response:
    """Return an error response: JSON, or plain text if the client asks for text."""
    more = dict(extra or {})
    if wants_text(headers):
        return Response(f"{status} {title(status)}\n\n{message}\n", status, more, "text/plain")
    return Response(document(status, message, request_id), status, more, "application/json")


def wants_text(headers: Headers) -> bool:
    """Return whether the client accepts plain text and not JSON."""
    accept = headers.get("accept", "")
    return "text/" in accept and "json" not in accept
