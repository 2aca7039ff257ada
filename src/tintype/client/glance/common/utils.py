"""Results with the ids of their requests, and checks of the server's version."""

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tintype.client.glance import exc
from tintype.client.glance.common.addresses import endpoint_version_from_url, strip_version
from tintype.client.glance.common.files import (
    env,
    exit,  # noqa: A004  its name there
    get_file_size,
    make_size_human_readable,
    print_err,
    save_image,
)
from tintype.client.operations import info

__all__ = [
    "Dict",
    "Generator",
    "IterableWithLength",
    "List",
    "Nothing",
    "Tuple",
    "endpoint_version_from_url",
    "env",
    "exit",
    "get_file_size",
    "has_version",
    "integrity_iter",
    "make_size_human_readable",
    "needs",
    "print_err",
    "request_id_of",
    "save_image",
    "serious_integrity_iter",
    "strip_version",
    "with_ids",
]
_SERVED = frozenset({"SUPPORTED", "CURRENT", "EXPERIMENTAL"})


class Nothing:
    """The result of a call without one; it is falsy."""

    def __init__(self) -> None:
        self.request_ids: list[Any] = []
        self.wrapped = None

    def __bool__(self) -> bool:
        return False


class Dict(dict[str, Any]):
    """A dict with the ids of its requests."""

    request_ids: list[Any]

    @property
    def wrapped(self) -> dict[str, Any]:
        """Return the plain value."""
        return self


class List(list[Any]):
    """A list with the ids of its requests."""

    request_ids: list[Any]

    @property
    def wrapped(self) -> list[Any]:
        """Return the plain value."""
        return self


class Tuple(tuple[Any, ...]):
    """A response and its body, with the ids of their requests."""

    request_ids: list[Any]

    @property
    def wrapped(self) -> tuple[Any, ...]:
        """Return the plain value."""
        return self


class Generator:
    """An iterator with the ids of the requests that it has sent so far."""

    def __init__(self, items: Iterator[tuple[Any, Any]]) -> None:
        """Wrap items, each with its response."""
        self.request_ids: list[Any] = []
        self._items = items

    def __iter__(self) -> "Generator":
        return self

    def __next__(self) -> Any:
        item, response = next(self._items)
        request_id = request_id_of(response)
        if request_id not in self.request_ids:
            self.request_ids.append(request_id)
        return item

    next = __next__


class IterableWithLength:
    """The data of an image, with its length."""

    def __init__(self, iterable: Iterable[Any], length: int) -> None:
        self.iterable = iterable
        self.length = length
        self.request_ids: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield from self.iterable

    def __next__(self) -> Any:
        if not isinstance(self.iterable, Iterator):
            self.iterable = iter(self.iterable)
        return next(self.iterable)

    next = __next__

    def __len__(self) -> int:
        return self.length


def with_ids(value: Any, response: Any) -> Any:
    """Return a result with the id of its request as `request_ids`."""
    kinds: dict[type, Callable[[Any], Any]] = {dict: Dict, list: List, tuple: Tuple}
    result = Nothing() if value is None else kinds.get(type(value), lambda same: same)(value)
    object.__setattr__(result, "request_ids", [request_id_of(response)])
    return result


def request_id_of(response: Any) -> Any:
    """Return the request id of a response."""
    return response.headers.get("x-openstack-request-id")


def has_version(client: Any, version: str) -> bool:
    """Return whether the server serves a version such as `v2.12`."""
    _, body = client.get(info.versions().path)
    return any(each["id"] == version and each["status"] in _SERVED for each in body["versions"])


def integrity_iter(pieces: Iterable[Any], checksum: str) -> Iterator[Any]:
    """Yield chunks and check them against an md5; raises OSError (EPIPE) after the last one."""
    try:
        hasher = hashlib.new("md5", usedforsecurity=False)
    except ValueError:
        raise OSError(errno.EPIPE, "md5 algorithm is not available on the client") from None
    yield from serious_integrity_iter(pieces, hasher, checksum)


def serious_integrity_iter(pieces: Iterable[Any], hasher: Any, expected: str) -> Iterator[Any]:
    """Yield chunks and check them against a digest in hex; raises OSError (EPIPE) after the last one."""
    for piece in pieces:
        yield piece
        hasher.update(piece.encode() if isinstance(piece, str) else piece)
    if hasher.hexdigest() != expected:
        raise OSError(errno.EPIPE, f"Corrupted image. Hash was {hasher.hexdigest()} expected {expected}")


def needs(client: Any, version: str, what: str = "This operation") -> None:
    """Raise HTTPNotImplemented if the server does not serve a version."""
    if not has_version(client, version):
        raise exc.HTTPNotImplemented(f"{what} is not supported by Glance ({version}).")
