"""What can go wrong when an image service is asked, and how each way of saying so is read.

ClientError
├── CommunicationError       no answer came, or it broke off
├── InvalidEndpoint          no address to ask
├── DigestMismatch           the bytes are not those of the image
├── TransferFailed           an import or another piece of work on the server ended badly
└── HTTPError                the server said no: a class for each status from 300 to 504
"""

import html
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

_LINES: Final = 20
"""Of what a server says; a proxy may send a whole page."""


class ClientError(Exception):
    """The root. `message` is for a person."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        super().__init__(self.message)


class CommunicationError(ClientError):
    """The server could not be reached, or the connection broke off."""


class InvalidEndpoint(ClientError):
    """There is no usable address of an image service."""


class DigestMismatch(ClientError, OSError):
    """The bytes are not those that the image has."""


class TransferFailed(ClientError):
    """Work on the server ended without success."""


class HTTPError(ClientError):
    """The server refused. `code` is the status; `request_id` is what its operator finds the request by."""

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
        """Seconds after which the server wishes to be asked again."""

    def __str__(self) -> str:
        """Give the message with the status, and the request id where there is one."""
        shown = f"{self.message} (HTTP {self.code})" if self.code else self.message
        return f"{shown} (Request-ID: {self.request_id})" if self.request_id else shown


class MultipleChoices(HTTPError):
    """The version of the API that was asked for is not served."""

    code = 300


class BadRequest(HTTPError):
    """The request makes no sense."""

    code = 400


class Unauthorized(HTTPError):
    """No token, or one that is wrong, expired or revoked."""

    code = 401


class Forbidden(HTTPError):
    """Seen, and refused."""

    code = 403


class NotFound(HTTPError):
    """Absent, or not the caller's business."""

    code = 404


class MethodNotAllowed(HTTPError):
    """This cannot be done there."""

    code = 405


class RequestTimeout(HTTPError):
    """The server waited too long for the request."""

    code = 408


class Conflict(HTTPError):
    """The thing is in another state than the request needs."""

    code = 409


class Gone(HTTPError):
    """It was deleted meanwhile."""

    code = 410


class PreconditionFailed(HTTPError):
    """Another version of a thing or a protocol was expected."""

    code = 412


class OverLimit(HTTPError):
    """A size, a count or a quota would be exceeded."""

    code = 413


class UnsupportedMediaType(HTTPError):
    """The bytes or their type are not what they should be."""

    code = 415


class RangeNotSatisfiable(HTTPError):
    """The image has no such bytes."""

    code = 416


class Locked(HTTPError):
    """Another request works on it."""

    code = 423


class TooManyRequests(HTTPError):
    """Slow down."""

    code = 429


class ChecksumMismatch(HTTPError):
    """Bytes arrived, but not the ones that were sent (tus)."""

    code = 460


class InternalServerError(HTTPError):
    """The server has a fault."""

    code = 500


class NotImplementedByServer(HTTPError):
    """The server does not know how."""

    code = 501


class BadGateway(HTTPError):
    """A proxy got no sense out of the server."""

    code = 502


class ServiceUnavailable(HTTPError):
    """The server, or a part it stands on, does not answer now."""

    code = 503


class GatewayTimeout(HTTPError):
    """A proxy got no answer from the server in time."""

    code = 504


BY_STATUS: Final[Mapping[int, type[HTTPError]]] = {kind.code: kind for kind in HTTPError.__subclasses__()}


def of(status: int, headers: Mapping[str, str], body: bytes) -> HTTPError:
    """Give the failure that an answer says. Header names are in lower case."""
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
    """Return what a server says went wrong: in JSON, a page of HTML, or text.

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
        lines = lines[1:]  # the status once more
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
