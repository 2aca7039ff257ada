"""The circuit breaker: when calls fail at once, when they are retried, and late responses."""

from tintype.domain.breaker import Breaker


def test_a_failure_opens_and_an_answer_closes() -> None:
    breaker = Breaker(pause=1.0)
    assert not breaker.is_open
    assert breaker.record_failure(began=0.0, moment=10.0)
    assert breaker.is_open
    assert breaker.record_answer(12.5) == 2.5
    assert not breaker.is_open


def test_only_the_first_failure_and_answer_are_news() -> None:
    breaker = Breaker(pause=1.0)
    assert breaker.record_failure(began=0.0, moment=1.0)
    assert not breaker.record_failure(began=0.5, moment=2.0)
    assert breaker.record_answer(3.0) == 2.0
    assert breaker.record_answer(4.0) is None


def test_a_call_that_was_stuck_in_a_past_outage_says_nothing() -> None:
    """It began before the last answer came, and runs into its timeout after it."""
    breaker = Breaker(pause=1.0)
    breaker.record_failure(began=0.0, moment=3.0)
    breaker.record_answer(5.0)
    assert not breaker.record_failure(began=1.0, moment=11.0)
    assert not breaker.is_open
    assert breaker.record_failure(began=6.0, moment=12.0)


def test_answers_count_from_their_moment() -> None:
    breaker = Breaker(pause=1.0)
    assert not breaker.has_answered_since(0.0)
    breaker.record_answer(5.0)
    assert breaker.has_answered_since(5.0)
    assert not breaker.has_answered_since(5.1)


def test_probes_are_apart() -> None:
    """One that failed at once is followed after the pause, one that took longer at once."""
    breaker = Breaker(pause=1.0)
    assert breaker.until_next_probe(began=10.0, moment=10.25) == 0.75
    assert breaker.until_next_probe(began=10.0, moment=12.0) == 0.0
