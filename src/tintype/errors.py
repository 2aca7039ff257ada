"""The errors of the service; `api/errors.py` maps each of them to HTTP.

TintypeError
├── Invalid                  the request is malformed or asks for the impossible
│   ├── BadRange             … in its Range header
│   └── ChecksumMismatch     … its bytes are not those that the client sent
├── Unauthenticated          missing or wrong credentials
├── Forbidden                the caller may see the resource, but not do this
├── NotFound                 it does not exist, as far as the caller may know
├── Conflict                 the state of the resource does not allow the request
│   └── Locked               … because another request works on it
├── VersionMismatch          the client uses another version of a protocol
├── Gone                     it was deleted while the request worked on it
├── OverLimit                a limit or quota would be exceeded
├── UnsupportedMedia         the bytes or their media type are not accepted
├── Disconnected             the client disconnected before the end of its request
│   └── TooSlow              … or is still connected, but sends nothing
├── Temporary                the same request may succeed later; so may Locked
│   ├── TooManyAttempts      … if the caller slows down
│   └── Unavailable          … when the database, store or service answers again
├── Unimplemented            valid HTTP that this service does not implement
└── StartError               the service cannot start; for the operator at a terminal
"""


class TintypeError(Exception):
    """The base class. `message` is one or more sentences for the caller, without secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message.encode(errors="replace").decode()  # it may quote what a client sent


class Temporary(TintypeError):
    """The same request may succeed later: after `retry_after` seconds, if that is known."""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Invalid(TintypeError):
    """The request is malformed or asks for something impossible."""


class BadRange(Invalid):
    """A Range header that the bytes cannot satisfy."""

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size
        """The actual number of bytes."""


class ChecksumMismatch(Invalid):
    """The received bytes do not have the checksum that the client sent."""


class Unauthenticated(TintypeError):
    """No credentials, or credentials that are wrong, expired or revoked."""


class Forbidden(TintypeError):
    """The caller may see the resource, but not perform this operation."""


class NotFound(TintypeError):
    """The resource does not exist, as far as this caller may know."""


class Conflict(TintypeError):
    """The current state of the resource does not allow the request."""


class Locked(Conflict, Temporary):
    """Another request is using the resource; retry soon."""


class VersionMismatch(TintypeError):
    """The client uses another version of the protocol."""

    def __init__(self, message: str, *, supported: str) -> None:
        super().__init__(message)
        self.supported = supported
        """The version that this service supports."""


class Gone(TintypeError):
    """The resource was deleted during the request."""


class OverLimit(TintypeError):
    """A size, a count or a quota would be exceeded."""


class UnsupportedMedia(TintypeError):
    """The media type or the bytes themselves are not accepted."""

    def __init__(self, message: str, *, patch_types: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.patch_types = patch_types
        """The media types that a PATCH may have."""


class Disconnected(TintypeError):
    """The connection was closed before the request was complete."""


class TooSlow(Disconnected):
    """The client sent nothing for too long during its request."""

    def __init__(self, message: str, *, closes: bool = False) -> None:
        super().__init__(message)
        self.closes = closes
        """Whether the connection can no longer be used."""


class TooManyAttempts(Temporary):
    """The caller has to wait before retrying."""


class Unimplemented(TintypeError):
    """The request uses a feature of HTTP that is not implemented."""


class Unavailable(Temporary):
    """The database, a store or another service does not answer now; retry later."""


class StartError(TintypeError):
    """The service cannot start. The message is one line that says what to do."""
