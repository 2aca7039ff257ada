"""Errors by the names that python-glanceclient has for them: they are `tintype.client.errors`."""

from typing import Any

from tintype.client import errors
from tintype.client.errors import (
    BadRequest,
    ClientError,
    CommunicationError,
    Conflict,
    Forbidden,
    HTTPError,
    InvalidEndpoint,
    NotFound,
    OverLimit,
    ServiceUnavailable,
    Unauthorized,
)

BaseException = ClientError  # noqa: A001  its name there
ClientException = HTTPException = HTTPError
HTTPMultipleChoices = errors.MultipleChoices
HTTPBadRequest = BadRequest
HTTPUnauthorized = Unauthorized
HTTPForbidden = Forbidden
HTTPNotFound = NotFound
HTTPMethodNotAllowed = errors.MethodNotAllowed
HTTPConflict = Conflict
HTTPOverLimit = OverLimit
HTTPInternalServerError = errors.InternalServerError
HTTPNotImplemented = errors.NotImplementedByServer
HTTPBadGateway = errors.BadGateway
HTTPServiceUnavailable = ServiceUnavailable

__all__ = [
    "BadRequest",
    "BaseException",
    "ClientException",
    "CommandError",
    "CommunicationError",
    "Conflict",
    "EndpointNotFound",
    "Forbidden",
    "HTTPBadGateway",
    "HTTPBadRequest",
    "HTTPConflict",
    "HTTPException",
    "HTTPForbidden",
    "HTTPInternalServerError",
    "HTTPMethodNotAllowed",
    "HTTPMultipleChoices",
    "HTTPNotFound",
    "HTTPNotImplemented",
    "HTTPOverLimit",
    "HTTPServiceUnavailable",
    "HTTPUnauthorized",
    "InvalidEndpoint",
    "NoTokenLookupException",
    "NotFound",
    "OverLimit",
    "SSLCertificateError",
    "SSLConfigurationError",
    "ServiceUnavailable",
    "Unauthorized",
    "from_response",
]


class CommandError(ClientError):
    """A command was used in a wrong way."""


class NoTokenLookupException(ClientError):
    """There is no way to look a token up."""


class EndpointNotFound(ClientError):
    """The catalogue has no such endpoint."""


class SSLConfigurationError(ClientError):
    """Certificates cannot be read."""


class SSLCertificateError(ClientError):
    """A certificate is not trusted."""


def from_response(response: Any, body: bytes | None = None) -> HTTPError:
    """Return the error for a response with `status_code` and `headers`."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return errors.of(response.status_code, headers, body or b"")
