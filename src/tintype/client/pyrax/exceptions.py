"""Errors by pyrax's names. Those of HTTP are `tintype.client.errors`, with `code` and `request_id`."""

from tintype.client.errors import (
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    HTTPError,
    NotFound,
    OverLimit,
    Unauthorized,
)
from tintype.client.errors import NotImplementedByServer as HTTPNotImplemented

PyraxException = ClientError
ClientException = HTTPError

__all__ = [
    "BadRequest",
    "ClientException",
    "Conflict",
    "Forbidden",
    "HTTPNotImplemented",
    "InvalidImageMember",
    "InvalidImageMemberStatus",
    "MissingName",
    "NoSuchContainer",
    "NoUniqueMatch",
    "NotFound",
    "OverLimit",
    "PyraxException",
    "Unauthorized",
    "UnsharableImage",
]


class InvalidImageMember(PyraxException):
    """The caller's project is not one that the image is shared with."""


class InvalidImageMemberStatus(PyraxException):
    """The status of a member is pending, accepted or rejected."""


class UnsharableImage(PyraxException):
    """The image cannot be shared."""


class NoSuchContainer(PyraxException):
    """There is no such container."""


class MissingName(PyraxException):
    """An object has neither id nor name."""


class NoUniqueMatch(BadRequest):
    """Several things match."""
