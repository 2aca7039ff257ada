"""Pages of lists in which policy rules hide some items."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

_READ_ON: Final = 500
"""The least number of items to read at a time when filling a page past hidden ones."""
_READS: Final = 20
"""The most reads from the database for one page."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    items: Sequence[T] = ()
    last: T | None = None
    """The item after which the next page begins; None on the last page."""


async def read_page(
    read: Callable[[int, T | None], Awaitable[Sequence[T]]],
    allows: Callable[[T], bool],
    limit: int,
    marker: T | None,
) -> Page[T]:
    """Return a page of allowed items; `read` returns a number of items after a marker.

    Pages are filled past hidden items because clients take an empty page for the last one. A page ends early
    only if thousands in a row are hidden; `last` may then be a hidden item.
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
