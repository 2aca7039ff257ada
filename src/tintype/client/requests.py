"""Requests and responses as data, independent of how they are sent."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from tintype.client import errors

T = TypeVar("T")
Query = Mapping[str, Any]

PATCH: Final = "application/openstack-images-v2.1-json-patch"
OCTETS: Final = "application/octet-stream"


@dataclasses.dataclass(frozen=True)
class Reply:
    """A complete response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """Parse the body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def request_id(self) -> str | None:
        """Return the request id, which identifies the request in the server's log."""
        return self.headers.get("x-openstack-request-id")


@dataclasses.dataclass(frozen=True)
class Request(Generic[T]):
    """A request as data. `read` converts the response to the result.

    It may raise the errors of parsing unexpected JSON; `reading` converts them.
    """

    method: str
    path: str
    """The quoted path below the endpoint."""
    read: Callable[[Reply], T]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Any = None
    """The body, sent as JSON; streamed bytes are passed to the sender."""
    base: str | None = None
    """The base URL, if it is not the endpoint of the image service."""

    @property
    def target(self) -> str:
        """Return path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def safe_to_repeat(self) -> bool:
        """Return whether it can be repeated if it is unknown whether it arrived (RFC 9110, 9.2.2)."""
        return self.method in {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


@dataclasses.dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None
    """The link to the next page."""


@dataclasses.dataclass(frozen=True)
class Listing(Request[Page[T]]):
    """A request for the first page of a list."""

    def after(self, page: Page[T]) -> "Listing[T] | None":
        """Return the request for the page after this one; None after the last.

        Servers write the link relative to their root, whatever their public URL is.
        """
        if page.next is None:
            return None
        start = page.next.find("/v2/")
        if start < 0:
            raise errors.CommunicationError(f"The next page has no address of this API: {page.next!r}.")
        path, _, query = page.next[start:].partition("?")
        return dataclasses.replace(self, path=path, query=tuple(parse_qsl(query, keep_blank_values=True)))


def path(*parts: str) -> str:
    """Join the parts of a path; each part is quoted, so that no name changes the path.

    Raises NotFound if a part is empty or None, which would change the path to a list's; BadRequest for
    `.` and `..`, and for a value that is no text.
    """
    if any(part is None or part in {"", b""} for part in parts):
        raise errors.NotFound("Nothing has an empty name or id.", code=404)
    parts = tuple(text(part) for part in parts)
    if any(part in {".", ".."} for part in parts):
        raise errors.BadRequest(f"No part of an address may be '.' or '..': {'/'.join(parts)}")
    try:
        return "/" + "/".join(quote(part, safe="") for part in parts)
    except UnicodeEncodeError:
        raise errors.BadRequest(f"This name is not text: {'/'.join(parts)!a}") from None


def text(value: Any) -> str:
    """Return a value as text; bytes are in UTF-8."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def query(values: Query) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a query: None is omitted, lists are repeated, booleans are words."""
    pairs = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple | set) else (value,)
        given = (each for each in several if each is not None)
        pairs += [(name, str(each).lower() if isinstance(each, bool) else text(each)) for each in given]
    for name, value in pairs:
        shown = f"{name}={value}"
        try:
            shown.encode()
        except UnicodeEncodeError:
            raise errors.BadRequest(f"This filter is not text: {shown!a}") from None
    return tuple(pairs)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Raise CommunicationError for an unexpected response body, such as a proxy's error page."""
    try:
        yield
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise errors.CommunicationError(
            f"The response is not one of an image service: {type(error).__name__}: {error}."
        ) from error


def several(value: str | Iterable[str] | None) -> list[str]:
    """Return one value, or several, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def pointer(name: str) -> str:
    """Return a name as a JSON pointer (RFC 6901, 3)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def nothing(_reply: Reply) -> None:
    """Return None for a response without a result."""


def whole(reply: Reply) -> Any:
    """Return the JSON of a response unchanged."""
    return reply.json()


def one(kind: type[T]) -> Callable[[Reply], T]:
    """Return a reader for a response with one record of a type."""
    return lambda reply: model(kind, reply.json())


def reading_of(kind: type[T], key: str) -> Callable[[Reply], T]:
    """Return a reader for a response with one record of a type under a key."""
    return lambda reply: model(kind, reply.json()[key])


def many(kind: type[T], key: str) -> Callable[[Reply], list[T]]:
    """Return a reader for a list without pages."""
    return lambda reply: models(kind, reply.json()[key])


def pages(kind: type[T], key: str) -> Callable[[Reply], Page[T]]:
    """Return a reader for a page of a list."""

    def read(reply: Reply) -> Page[T]:
        body = reply.json()
        return Page(models(kind, body[key]), body.get("next"))

    return read


def model(kind: type[T], value: Any) -> T:
    """Convert JSON to a typed record."""
    shaped = getattr(kind, "shape", None)
    return msgspec.convert(value if shaped is None else shaped(value), kind, strict=False)


def models(kind: type[T], values: Iterable[Any]) -> list[T]:
    """Convert a list of JSON objects to typed records."""
    return [model(kind, value) for value in values]
