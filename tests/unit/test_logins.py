"""The delay after failed log-ins, and clocks that were wrong when it was noted."""

import pytest

from tintype.domain.identity import FailedLogins
from tintype.errors import TooManyAttempts

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def failed(count: int, now: int) -> FailedLogins:
    """Return what is noted of so many failures in a row."""
    failures = FailedLogins(0, 0)
    for _ in range(count):
        failures = failures.increment(now)
    return failures


@pytest.mark.parametrize(("count", "seconds"), [(4, 1), (5, 2), (9, 32), (10, 60), (50, 60)])
def test_the_delay_doubles_to_a_minute(count: int, seconds: int) -> None:
    """And the answer says how long it is."""
    with pytest.raises(TooManyAttempts) as refused:
        failed(count, NOW).check(NOW)
    assert refused.value.retry_after == seconds
    failed(count, NOW).check(NOW + seconds * SECOND)


def test_three_are_free() -> None:
    """People mistype."""
    failed(3, NOW).check(NOW)


@pytest.mark.parametrize("ahead", [61, 3600, 86400])
def test_a_delay_of_a_clock_that_was_ahead_does_not_count(ahead: int) -> None:
    """No delay is that long; the next failure is delayed by as many as there were."""
    failures = failed(9, NOW + ahead * SECOND)
    failures.check(NOW)
    with pytest.raises(TooManyAttempts) as refused:
        failures.increment(NOW).check(NOW)
    assert refused.value.retry_after == 60


def test_failures_are_forgotten_after_a_quarter_of_an_hour() -> None:
    """From the end of the delay on; until then each counts."""
    noted, quarter = FailedLogins(9, NOW), 900 * SECOND
    assert noted.increment(NOW + quarter - 1).count == 10
    assert noted.increment(NOW + quarter) == FailedLogins(1, NOW + quarter)
