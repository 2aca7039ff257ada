"""The built-in identity: names, roles and which others each one implies, and failed logins."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tintype.errors import Invalid, TooManyAttempts


def check_name(noun: str, name: str) -> None:
    """Raise Invalid for a name that is empty, too long, unprintable, or has spaces around it."""
    if not 1 <= len(name) <= 255 or not name.isprintable() or name != name.strip():
        raise Invalid(f"The name of a {noun} has 1 to 255 printable characters, no space at its ends.")


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


_SECOND: Final = 1_000_000
_FREE_ATTEMPTS: Final = 3
_LONGEST_DELAY: Final = 60 * _SECOND
FAILURES_EXPIRE_AFTER: Final = 900 * _SECOND


class FailedLogins(msgspec.Struct, frozen=True):
    """How often a user failed from an address, and when the next attempt is allowed."""

    count: int
    not_before: int

    def check(self, now: int) -> None:
        """Raise TooManyAttempts during the delay.

        A delay beyond the maximum was recorded while the clock was ahead, and is ignored.
        """
        wait = self.not_before - now
        if 0 < wait <= _LONGEST_DELAY:
            seconds = -(-wait // _SECOND)
            message = f"Too many failed attempts. Try again in {seconds} s."
            raise TooManyAttempts(message, retry_after=seconds)

    def increment(self, now: int) -> "FailedLogins":
        """Return the state after one more failure."""
        count = self.count + 1 if now - self.not_before < FAILURES_EXPIRE_AFTER else 1
        over = count - _FREE_ATTEMPTS
        delay = min(_LONGEST_DELAY, _SECOND << min(over - 1, 10)) if over > 0 else 0
        return FailedLogins(count, now + delay)
