"""The errors of the client, and how error responses are parsed.

ClientError
├── CommunicationError       no response, or an incomplete one
├── InvalidEndpoint          no usable URL of the service
├── DigestMismatch           the data does not match the image's digest
├── TransferFailed           an import or another task on the server failed
└── HTTPError                an error response: a class for each status from 300 to 504
"""

import html
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

_LINES: Final = 20
"""Most lines of a server's message; a proxy may send a whole page."""


class ClientError(Exception):
    """The base of all errors. `message` is for people."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        super().__init__(self.message)


class CommunicationError(ClientError):
    """The server cannot be reached, or the connection broke."""


class InvalidEndpoint(ClientError):
    """There is no usable URL of an image service."""


class DigestMismatch(ClientError, OSError):
    """The data does not match the image's digest."""


class TransferFailed(ClientError):
    """A task on the server failed."""


class HTTPError(ClientError):
    """An error response. `code` is the status; `request_id` identifies the request in the server's log."""

    code: int = 0

    def __init__(
        self,
        details: str | None = None,
        *,
        code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = self.code if code is None else code
        super().__init__(details or type(self).__name__)
        self.details = self.message
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds to wait before a retry, as requested by the server."""

    def __str__(self) -> str:
        """Return the message with the status and any request id."""
        shown = f"{self.message} (HTTP {self.code})" if self.code else self.message
        return f"{shown} (Request-ID: {self.request_id})" if self.request_id else shown


class MultipleChoices(HTTPError):
    """The requested API version is not served."""

    code = 300


class BadRequest(HTTPError):
    """The request is invalid."""

    code = 400


class Unauthorized(HTTPError):
    """The token is missing, invalid, expired or revoked."""

    code = 401


class Forbidden(HTTPError):
    """The caller is not allowed to do this."""

    code = 403


class NotFound(HTTPError):
    """The resource does not exist, or the caller may not see it."""

    code = 404


class MethodNotAllowed(HTTPError):
    """The resource does not support the method."""

    code = 405


class RequestTimeout(HTTPError):
    """The server waited too long for the request."""

    code = 408


class Conflict(HTTPError):
    """The resource is in the wrong state for the request."""

    code = 409


class Gone(HTTPError):
    """The resource has been deleted."""

    code = 410


class PreconditionFailed(HTTPError):
    """A condition of the request failed, or the protocol's version is not supported."""

    code = 412


class OverLimit(HTTPError):
    """A size, a count or a quota would be exceeded."""

    code = 413


class UnsupportedMediaType(HTTPError):
    """The data or its media type is not supported."""

    code = 415


class RangeNotSatisfiable(HTTPError):
    """The range is outside the image's data."""

    code = 416


class Locked(HTTPError):
    """Another request is using the resource."""

    code = 423


class TooManyRequests(HTTPError):
    """Too many requests."""

    code = 429


class ChecksumMismatch(HTTPError):
    """The received bytes do not match their checksum (tus)."""

    code = 460


class InternalServerError(HTTPError):
    """The server has failed."""

    code = 500


class NotImplementedByServer(HTTPError):
    """The server does not implement this."""

    code = 501


class BadGateway(HTTPError):
    """A proxy got an invalid response from the server."""

    code = 502


class ServiceUnavailable(HTTPError):
    """The server, or a service that it depends on, is unavailable now."""

    code = 503


class GatewayTimeout(HTTPError):
    """A proxy got no response from the server in time."""

    code = 504


BY_STATUS: Final[Mapping[int, type[HTTPError]]] = {kind.code: kind for kind in HTTPError.__subclasses__()}


def of(status: int, headers: Mapping[str, str], body: bytes) -> HTTPError:
    """Return the error for an error response. Header names are in lower case."""
    kind = BY_STATUS.get(status, HTTPError)
    request_id = headers.get("x-openstack-request-id") or headers.get("x-compute-request-id")
    retry_after = headers.get("retry-after", "")
    return kind(
        message_of(headers.get("content-type", ""), body) or _phrase(status),
        code=status,
        request_id=request_id,
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


def message_of(content_type: str, body: bytes) -> str:
    """Return the message of an error response: from JSON, HTML or text.

    JSON has `message` one level down (Tintype, Keystone, Nova) or at the top (Glance, older Tintypes).
    """
    text = body.decode(errors="replace").strip()
    if "json" in content_type:
        try:
            return _json_message(msgspec.json.decode(body))
        except msgspec.DecodeError:
            return text
    if "html" in content_type:
        text = _without_tags(text)
    lines = list(dict.fromkeys(filter(None, map(str.strip, text.splitlines()))))
    if len(lines) > 1 and re.match(r"\d{3} ", lines[0]):
        lines = lines[1:]  # only repeats the status
    return " ".join(lines[:_LINES])


def _json_message(said: Any) -> str:
    if not isinstance(said, dict):
        return str(said)
    found = [said, *(value for value in said.values() if isinstance(value, dict))]
    messages = [each["message"] for each in found if isinstance(each.get("message"), str)]
    if isinstance(said.get("code"), str):  # webob's JSON, of Glance, has HTML in it
        messages = [_without_tags(each) for each in messages]
    titles = (each["title"] for each in found if isinstance(each.get("title"), str))
    return "\n".join(messages) or next(titles, "")


def _without_tags(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "\n", text)).strip()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
