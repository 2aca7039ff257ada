"""A bounded queue in which groups take turns; within a group the order is first in, first out."""

import ipaddress
from collections import OrderedDict, deque
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

_IPV6_SITE_BITS: Final = 64
"""Leading bits of an IPv6 address that identify a site, which can use every address below them."""


class Bounds(NamedTuple):
    """How many items may wait, of one group and in all."""

    per_group: int
    total: int


class Turns(Generic[T]):
    """The waiting items, by group."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._groups: OrderedDict[str, deque[T]] = OrderedDict()
        """In the order in which they are served."""

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return sum(map(len, self._groups.values()))

    def add(self, group: str, item: T) -> bool:
        """Add an item; return False, and add nothing, if the queue or the group's part of it is full."""
        if self.is_full(group) or len(self) >= self._bounds.total:
            return False
        waiting = self._groups.get(group, deque())
        waiting.append(item)
        self._groups[group] = waiting
        return True

    def is_full(self, group: str) -> bool:
        """Return whether the group's part of the queue is full."""
        return len(self._groups.get(group, ())) >= self._bounds.per_group

    def discard(self, group: str, item: T) -> None:
        """Remove an item that no longer waits, if it is there."""
        waiting = self._groups.get(group)
        if waiting is not None and item in waiting:
            waiting.remove(item)
            if not waiting:
                del self._groups[group]

    def next(self) -> T | None:
        """Remove and return the next item, or None if the queue is empty."""
        if not self._groups:
            return None
        group, waiting = self._groups.popitem(last=False)
        item = waiting.popleft()
        if waiting:
            self._groups[group] = waiting
        return item

    def ahead_of(self, group: str) -> int:
        """Return how many items are served until all those of a group have been, including them."""
        most = len(self._groups.get(group, ()))
        return sum(min(len(waiting), most) for waiting in self._groups.values())


def address_group(address: str) -> str:
    """Return the group of a client's address: an IPv4 address by itself, an IPv6 address by its /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))
