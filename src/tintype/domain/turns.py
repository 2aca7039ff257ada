"""Whose turn it is in a bounded queue: groups take turns, and within a group the first to come is first."""

import ipaddress
from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_IPV6_SITE_BITS: Final = 64
"""Of an IPv6 address: whoever has one address has all those that share these bits."""


class Turns(Generic[T]):
    """Those who wait, by group."""

    def __init__(self, *, per_group: int, total: int) -> None:
        self._per_group = per_group
        self._total = total
        self._groups: OrderedDict[str, deque[T]] = OrderedDict()
        """In the order in which they are served."""

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._groups.values()))

    def add(self, group: str, who: T) -> bool:
        """Add one who waits; return False, and add nobody, where the queue or the group's part is full."""
        waiting = self._groups.get(group, deque())
        if len(waiting) >= self._per_group or len(self) >= self._total:
            return False
        waiting.append(who)
        self._groups[group] = waiting
        return True

    def discard(self, group: str, who: T) -> None:
        """Remove one who waits no longer, if it is there."""
        waiting = self._groups.get(group)
        if waiting is not None and who in waiting:
            waiting.remove(who)
            if not waiting:
                del self._groups[group]

    def next(self) -> T | None:
        """Remove and return who is next; None where nobody waits."""
        if not self._groups:
            return None
        group, waiting = self._groups.popitem(last=False)
        who = waiting.popleft()
        if waiting:
            self._groups[group] = waiting
        return who

    def ahead_of(self, group: str) -> int:
        """Return how many are served until all those of a group are that wait now, themselves included."""
        most = len(self._groups.get(group, ()))
        return sum(min(len(waiting), most) for waiting in self._groups.values())


def address_group(address: str) -> str:
    """Return what a client's address counts as: one of IPv4 alone, one of IPv6 with the rest of its /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))
