"""Descriptions of stores, and the order in which copies of an image are read."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from tintype.errors import Invalid

T = TypeVar("T")


class StoreInfo(msgspec.Struct, frozen=True):
    """A store as configured. Stores with a higher weight are read first."""

    id: str
    type: str
    description: str = ""
    weight: int = 0
    default: bool = False
    read_only: bool = False


def in_order(names: Iterable[str], stores: Mapping[str, StoreInfo]) -> tuple[str, ...]:
    """Return the distinct names of stores, sorted by weight, then by name."""

    def rank(name: str) -> tuple[int, str]:
        return (-stores[name].weight if name in stores else 0, name)

    return tuple(sorted(set(names), key=rank))


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return the names in a list such as `a,b`."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def check_known(names: Iterable[str], stores: Mapping[str, StoreInfo]) -> None:
    """Raise Invalid for a store that does not exist."""
    for name in names:
        if name not in stores:
            raise Invalid(f"Store '{name}' does not exist. There are: {', '.join(stores)}.")
