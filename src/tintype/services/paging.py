"""Pages of lists in which policy rules hide some items."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

_READ_ON: Final = 500
"""Items read at least, each time that a page is filled past hidden ones."""
_READS: Final = 20
"""Times that one page reads from the database at most."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    items: Sequence[T] = ()
    last: T | None = None
    """Item behind which the next page begins; None on the last page."""


async def read_page(
    read: Callable[[int, T | None], Awaitable[Sequence[T]]],
    allows: Callable[[T], bool],
    limit: int,
    marker: T | None,
) -> Page[T]:
    """Return a page of items that are allowed; `read` returns so many of all items behind a marker.

    Pages are filled past hidden items, because clients take an empty page for the last one. Only where
    thousands in a row are hidden does a page end early, and `last` may then be a hidden item.
    """
    found: list[T] = []
    size = limit
    for _ in range(_READS):
        batch = await read(size, marker)
        found += filter(allows, batch)
        if len(found) >= limit:
            del found[limit:]
            return Page(found, found[-1] if found else None)
        if len(batch) < size:
            return Page(found)
        marker, size = batch[-1], max(limit, _READ_ON)
    return Page(found, marker)
