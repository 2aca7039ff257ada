"""Lanes, fair shares, and the pace of sources."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping

import pytest

from tintype.blobs import pace as paces
from tintype.blobs.pace import Pace, paced
from tintype.domain.shares import SLOW, Held, Standing, lane_of, to_put_back
from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, LOCAL_LANE, LOCATION, WEB_LANE, Task
from tintype.errors import Invalid


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


def attempts(*owners: str, rate: float | None = 1000.0, seconds: float = 10.0) -> list[Held]:
    return [Held(owner, seconds + number, rate) for number, owner in enumerate(owners)]


def standings(**counts: tuple[int, int]) -> dict[str, Standing]:
    return {owner: Standing(*each) for owner, each in counts.items()}


def test_who_has_more_than_its_share_makes_room() -> None:
    """The slowest attempt of the project that has the most."""
    held = [Held("a", 10, 3000.0), Held("a", 10, 1000.0), Held("a", 10, 2000.0), Held("b", 10, 0.0)]
    chosen = to_put_back(held, standings(a=(3, 3), b=(1, 0), c=(0, 1)))
    assert chosen == Held("a", 10, 1000.0)


@pytest.mark.parametrize(
    ("held", "counts"),
    [
        (attempts("a", "a"), standings(a=(2, 5))),
        (attempts("a", "a"), standings(a=(2, 5), b=(1, 1))),
        (attempts("a", "b"), standings(a=(1, 0), b=(1, 0), c=(0, 1))),
        (attempts("a", "a", rate=None), standings(a=(2, 0), b=(0, 1))),
        (attempts("a", "a", rate=float(SLOW)), standings(a=(2, 0), b=(0, 1))),
        (attempts("a", "a"), {}),
    ],
    ids=["its own", "one more only", "one each", "no source", "fast", "nobody waits"],
)
def test_who_keeps_its_slots(held: list[Held], counts: dict[str, Standing]) -> None:
    """Work is thrown away only for a project that has less, and only where the source is slow."""
    assert to_put_back(held, counts) is None


def test_an_only_slot_is_kept_for_a_turn() -> None:
    """After that it goes to a project that has none."""
    counts = standings(a=(1, 0), b=(1, 0), c=(0, 1))
    assert to_put_back(attempts("a", "b", seconds=601), counts) is not None
    assert to_put_back(attempts("a", "b", seconds=500), counts) is None


def test_slots_are_not_passed_to_and_fro() -> None:
    """However many projects wait, so many slots change hands as there are projects with too few."""
    chance = random.Random(18)
    for _ in range(200):
        names = [f"p{number}" for number in range(chance.randint(2, 6))]
        held = attempts(*(chance.choice(names) for _ in range(4)))
        waiting, changes = set(names), 0
        while changes <= len(names):
            counts = {
                name: Standing(sum(each.owner == name for each in held), int(name in waiting))
                for name in names
            }
            chosen = to_put_back(held, counts)
            if chosen is None:
                break
            held.remove(chosen)
            held.append(Held(min(waiting, key=lambda name: counts[name].at_work), 0, 1000.0))
            changes += 1
        assert changes <= 4


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

    with pytest.raises(Invalid, match=r"1200 bytes a second over 60 s; .* 65536 .*imports\.slowest_rate"):
        async for _ in paced(drip(), Pace(64 << 10)):
            pass
    assert given == 60


async def test_only_waiting_for_the_source_counts(clock: Clock) -> None:
    """A store of ours that takes a minute for each chunk does not make a source slow."""

    async def good() -> AsyncIterator[bytes]:
        for _ in range(100):
            clock.now += 0.1
            yield bytes(64 << 10)

    pace = Pace(64 << 10)
    async for _ in paced(good(), pace):
        clock.now += 60
        assert pace.rate is None or pace.rate == pytest.approx(10 * (64 << 10))
    assert pace.rate is None


async def test_a_silent_source_is_slow_while_it_is_silent(clock: Clock) -> None:
    """Its rate falls before anything comes of it."""
    pace = Pace(0)
    go_on = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        await go_on.wait()
        yield b"x"

    reading = asyncio.ensure_future(anext(paced(silent(), pace)))
    await asyncio.sleep(0)
    assert pace.rate is None
    clock.now += 5
    assert pace.rate == 0
    go_on.set()
    assert await reading == b"x"
