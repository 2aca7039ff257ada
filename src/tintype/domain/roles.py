"""Roles of the built-in identity, and which other roles each one implies."""

from collections.abc import Iterable, Mapping
from typing import Final

from tintype.errors import Invalid

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": frozenset({"admin", "member", "reader"}),
    "member": frozenset({"member", "reader"}),
    "reader": frozenset({"reader"}),
    "service": frozenset({"service"}),
}
"""Each role with those that it implies."""


def expanded(granted: Iterable[str]) -> frozenset[str]:
    """Return roles with those that they imply."""
    return frozenset[str]().union(*(ROLES.get(role, frozenset({role})) for role in granted))


def check_role(role: str) -> None:
    """Raise Invalid for a role that does not exist."""
    if role not in ROLES:
        raise Invalid(f"There is no role {role}. There are: {', '.join(ROLES)}.")
