"""One table from what went wrong to HTTP, and how a failure is written.

Quirk: python-glanceclient reads a JSON error as nested objects and dies on any flat one, Glance's
own included; it never asks for JSON, so it is answered in plain text.
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
    errors.Unavailable: 503,
}

_TITLES: Final = {460: "Checksum Mismatch", 499: "Client Closed Request"}
"""Of statuses that the HTTP registry does not have: the first is tus's, the second is never read."""


def status_of(error: errors.TintypeError) -> int:
    """Give the HTTP status of a failure."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def response(
    status: int, message: str, request_id: str, headers: Headers, extra: Mapping[str, str] | None = None
) -> Response:
    """Write a failure as the image API does: JSON, or plain text where the client wants that."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    if wants_text(headers):
        return Response(f"{status} {title}\n\n{message}\n", status, dict(extra or {}), "text/plain")
    body = {"code": status, "title": title, "message": message, "request_id": request_id}
    return Response(msgspec.json.encode(body), status, dict(extra or {}), "application/json")


def wants_text(headers: Headers) -> bool:
    """Say whether a client is better served with plain text than with JSON."""
    accept = headers.get("accept", "")
    if "json" in accept:
        return False
    return "text/" in accept or headers.get("user-agent", "").startswith("python-glanceclient")
