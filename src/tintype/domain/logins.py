"""Failed logins: the first ones are free, then the delay doubles from one second to a minute."""

from typing import Final

import msgspec

from tintype.errors import TooManyAttempts

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
