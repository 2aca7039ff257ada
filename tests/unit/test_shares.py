"""Lanes, fair shares, and the pace of sources."""

from collections.abc import AsyncIterator, Mapping

import pytest

from tintype.blobs import pace as paces
from tintype.blobs.pace import Pace, paced
from tintype.domain.tasks import (
    IMPORT,
    LEGACY_IMPORT,
    LOCAL_LANE,
    LOCATION,
    WEB_LANE,
    Task,
    lane_of,
    max_at_once,
    owners_at_limit,
)
from tintype.errors import Invalid, Unavailable

SLOTS = 4
MINUTE = 60
HOUR = 60 * MINUTE


def task(kind: str, given: Mapping[str, object]) -> Task:
    return Task("t", kind, "i", "p", "u", None, dict(given), 0, 0)


def importing(method: str) -> Task:
    return task(IMPORT, {"import_req": {"method": {"name": method}}})


@pytest.mark.parametrize(
    ("job", "stored_on_web", "lane"),
    [
        (importing("glance-direct"), False, LOCAL_LANE),
        (importing("copy-image"), False, LOCAL_LANE),
        (importing("copy-image"), True, WEB_LANE),
        (importing("web-download"), False, WEB_LANE),
        (importing("glance-download"), False, WEB_LANE),
        (task(LEGACY_IMPORT, {"import_from": "https://x"}), False, WEB_LANE),
        (task(LOCATION, {"loc_url": "HTTPS://x/y"}), False, WEB_LANE),
        (task(LOCATION, {"loc_url": "rbd://x/y"}), False, LOCAL_LANE),
    ],
)
def test_what_waits_for_the_web_has_slots_of_its_own(job: Task, stored_on_web: bool, lane: str) -> None:
    """Also a copy of bytes that are on the web."""
    assert lane_of(job, stored_on_web=stored_on_web) == lane


class Job:
    """A job of the simulation: whose it is, for how long it runs, and since when it is due."""

    def __init__(self, owner: str, seconds: float, due_at: float = 0) -> None:
        self.owner = owner
        self.seconds = seconds
        self.due_at = due_at
        self.started_at: float | None = None
        self.ended_at: float | None = None

    @property
    def pending(self) -> float:
        """For how many seconds it was pending."""
        assert self.started_at is not None
        return self.started_at - self.due_at


def simulate(jobs: list[Job], slots: int = SLOTS) -> int:
    """Run jobs in one lane by the rules until all have ended; return how many ran at once at most.

    As in the database, the oldest job of an owner with the fewest running jobs is next.
    """
    now, most = 0.0, 0
    waiting, running = list(jobs), list[Job]()
    while waiting or running:
        while len(running) < max_at_once(slots):
            owners = [job.owner for job in running]
            at_limit = owners_at_limit(owners, slots)
            due = [job for job in waiting if job.due_at <= now and job.owner not in at_limit]
            if not due:
                break
            job = min(due, key=lambda job: (owners.count(job.owner), job.due_at))
            job.started_at, job.ended_at = now, now + job.seconds
            waiting.remove(job)
            running.append(job)
        most = max(most, len(running))
        now = min(
            [job.ended_at for job in running if job.ended_at is not None]
            + [job.due_at for job in waiting if job.due_at > now]
        )
        running = [job for job in running if job.ended_at is not None and job.ended_at > now]
    return most


def test_everybody_ends() -> None:
    """Five projects download 2 GB each at 900 KB/s, which is 38 minutes: nobody starts again, or waits."""
    jobs = [Job(name, 38 * MINUTE) for name in "abcde"]
    assert simulate(jobs) == 5
    assert {job.ended_at for job in jobs} == {38 * MINUTE}


@pytest.mark.parametrize(
    "holders",
    [("a", "b") * 3, tuple("abcd"), ("a",) * 100 + ("b",) * 100],
    ids=["two projects", "one each", "two with all the tasks that they may have"],
)
def test_downloads_of_hours_keep_no_other_project_waiting(holders: tuple[str, ...]) -> None:
    """Trickling sources just above the minimum rate hold all slots; ten projects come later."""
    hours = [Job(owner, 6 * HOUR) for owner in holders]
    others = [Job(f"other {number}", 1, due_at=100 + 10 * number) for number in range(10)]
    assert simulate(hours + others) <= max_at_once(SLOTS)
    assert max(job.pending for job in others) < 5
    assert all(job.ended_at is not None for job in hours)


def test_conversions_that_wait_for_each_other_keep_no_other_project_waiting() -> None:
    """Three of one project and one of another, one after the other, for up to an hour each."""
    jobs = [Job("a", HOUR), Job("a", 2 * HOUR), Job("a", 3 * HOUR), Job("b", 4 * HOUR)]
    small = Job("c", 1, due_at=10)
    simulate([*jobs, small])
    assert small.pending == 0


def test_one_project_has_all_slots_and_no_more() -> None:
    """Its jobs do not run beyond the slots, however many there are."""
    jobs = [Job("a", 10) for _ in range(40)]
    assert simulate(jobs) == SLOTS
    assert max(job.ended_at or 0 for job in jobs) == 100


def test_jobs_at_once_are_bounded() -> None:
    """However many projects there are; each has its turn."""
    jobs = [Job(f"p{number}", HOUR) for number in range(100)]
    assert simulate(jobs) == max_at_once(SLOTS) == 16
    assert max(job.pending for job in jobs) == 6 * HOUR


def test_who_had_more_does_not_starve_while_others_keep_coming() -> None:
    """A new project each minute takes one beyond the slots; the first one's jobs run meanwhile."""
    jobs = [Job("a", HOUR) for _ in range(8)]
    others = [Job(f"p{number}", 10 * MINUTE, due_at=number * MINUTE) for number in range(300)]
    simulate(jobs + others)
    assert max(job.ended_at or 0 for job in jobs) <= 8 * HOUR


class Clock:
    """A time that goes on only when it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(paces, "time", clock)
    return clock


async def test_a_drip_is_too_slow(clock: Clock) -> None:
    """A source that gives less than the floor over a minute is given up, with the setting's name."""
    given = 0

    async def drip() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            clock.now += 1
            given += 1
            yield bytes(1200)

    with pytest.raises(Invalid, match=r"1200 bytes a second over 60 s; .* 65536 .*imports\.min_source_rate"):
        async for _ in paced(drip(), Pace(64 << 10)):
            pass
    assert given == 61  # the time before the first bytes is not the source's rate


async def test_a_drip_is_too_slow_across_connections(clock: Clock) -> None:
    """Whoever breaks each connection within a minute is measured all the same."""

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(20):
            clock.now += 1
            yield bytes(1200)

    pace = Pace(64 << 10)
    for _ in range(3):
        assert len([chunk async for chunk in paced(drip(), pace)]) == 20
    with pytest.raises(Invalid, match="too slow"):
        async for _ in paced(drip(), pace):
            pass


async def test_time_without_a_connection_does_not_count(clock: Clock) -> None:
    """Neither before the first bytes, nor while a connection is broken or is opened again."""

    async def good() -> AsyncIterator[bytes]:
        clock.now += 61
        for _ in range(100):
            yield bytes(64 << 10)
            clock.now += 0.1
        clock.now += 61
        raise Unavailable("It broke.")

    pace = Pace(64 << 10)
    for _ in range(3):
        with pytest.raises(Unavailable):
            async for _ in paced(good(), pace):
                pass
        clock.now += 61


async def test_only_waiting_for_the_source_counts(clock: Clock) -> None:
    """A store of ours that takes a minute for each chunk does not make a source slow."""

    async def good() -> AsyncIterator[bytes]:
        for _ in range(1000):
            clock.now += 0.1
            yield bytes(64 << 10)

    async for _ in paced(good(), Pace(64 << 10)):
        clock.now += 60
