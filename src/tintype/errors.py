"""What can go wrong, said once; `api/errors.py` maps each kind to HTTP once.

TintypeError
├── Invalid                  the request makes no sense
│   ├── BadRange             … in its Range header
│   └── ChecksumMismatch     … its bytes are not those that were sent
├── Unauthenticated          nobody, or somebody else than they say
├── Forbidden                seen, and refused
├── NotFound                 absent, or not the caller's business
├── Conflict                 the thing is in another state than the request needs
│   └── Locked               … because another request works on it
├── VersionMismatch          another version of a protocol is spoken here
├── Gone                     it was deleted while the request worked on it
├── OverLimit                larger or more than allowed
├── UnsupportedMedia         the bytes or their type are not what they should be
├── Disconnected             the client went away before it had said everything
│   └── TooSlow              … or is still there, and sends nothing
├── Temporary                the same may succeed later: Locked, too
│   ├── TooManyAttempts      … if the caller slows down
│   └── Unavailable          … when a part that we stand on answers again
├── Unimplemented            valid HTTP that this service does not know how to read
└── StartError               the service cannot start; for a person at a terminal
"""


class TintypeError(Exception):
    """The root. `message` is one or more sentences for the caller, never a secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message.encode(errors="replace").decode()  # it may quote what a client sent


class Temporary(TintypeError):
    """The same request may succeed later: after `retry_after` seconds, where that is known."""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Invalid(TintypeError):
    """The request is malformed or asks for something that cannot be."""


class BadRange(Invalid):
    """A Range header that the bytes cannot satisfy."""

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size
        """Number of bytes that there are."""


class ChecksumMismatch(Invalid):
    """Bytes arrived, but not the ones that were sent."""


class Unauthenticated(TintypeError):
    """No credentials, or credentials that are wrong, expired or revoked."""


class Forbidden(TintypeError):
    """The caller may see the thing but not do this to it."""


class NotFound(TintypeError):
    """There is no such thing, as far as this caller may know."""


class Conflict(TintypeError):
    """The thing's present state does not allow the request."""


class Locked(Conflict, Temporary):
    """Another request works on the thing; it will be over soon."""


class VersionMismatch(TintypeError):
    """The client speaks another version of the protocol."""

    def __init__(self, message: str, *, supported: str) -> None:
        super().__init__(message)
        self.supported = supported
        """The version that is spoken here."""


class Gone(TintypeError):
    """The thing was deleted while the request was working on it."""


class OverLimit(TintypeError):
    """A size, a count or a quota would be exceeded."""


class UnsupportedMedia(TintypeError):
    """The media type, or the bytes themselves, are not acceptable."""

    def __init__(self, message: str, *, patch_types: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.patch_types = patch_types
        """Media types that a PATCH may have."""


class Disconnected(TintypeError):
    """The connection broke off before the request was whole."""


class TooSlow(Disconnected):
    """The client sent nothing for too long in the middle of its request."""

    def __init__(self, message: str, *, closes: bool = False) -> None:
        super().__init__(message)
        self.closes = closes
        """Whether the connection is of no more use."""


class TooManyAttempts(Temporary):
    """The caller has to wait before it may try again."""


class Unimplemented(TintypeError):
    """The request uses a part of HTTP that is not implemented here."""


class Unavailable(Temporary):
    """The database or a store does not answer now; trying again later is right."""


class StartError(TintypeError):
    """The service cannot start. The message is one line that says what to do."""
