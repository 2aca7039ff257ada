"""Quotas in Glance's units, exact to the byte."""

import pytest

from tintype.domain import quotas
from tintype.domain.quotas import MIB, Quota, Usage
from tintype.errors import OverLimit

NAMES = ("image_count_total", "image_size_total", "image_stage_total", "image_count_uploading")


def test_sizes_are_counted_in_mib_that_have_begun() -> None:
    """One byte of a MiB is a MiB; none is none."""
    assert Usage(3, 5, 0, 0).counted() == Quota(3, 0, 0, 5)
    assert Usage(3, 5, 1, MIB).counted() == Quota(3, 1, 1, 5)
    assert Usage(3, 5, MIB, MIB + 1).counted() == Quota(3, 1, 2, 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [0, 2])
def test_the_limit_is_the_last_that_is_allowed(name: str, limit: int) -> None:
    """One more is refused, with the name of the quota and its unit."""

    def usage(count: int) -> Usage:
        size = count * MIB
        return {
            "image_count_total": Usage(count, 0, 0, 0),
            "image_size_total": Usage(0, 0, size, 0),
            "image_stage_total": Usage(0, 0, 0, size),
            "image_count_uploading": Usage(0, count, 0, 0),
        }[name]

    quota = Quota(**{name: limit})
    quotas.check(quota, usage(limit), NAMES)
    with pytest.raises(OverLimit) as refusal:
        quotas.check(quota, usage(limit + 1), NAMES)
    unit = "" if "count" in name else " MiB"
    assert refusal.value.message == f"The project's quota is used up: {name} is limited to {limit}{unit}."
    quotas.check(quota, usage(limit + 1), [other for other in NAMES if other != name])
    quotas.check(Quota(), usage(10**6), NAMES)


def test_each_name_asked_for_counts() -> None:
    """Not only the first."""
    with pytest.raises(OverLimit, match="image_count_uploading"):
        quotas.check(Quota(image_count_uploading=0), Usage(0, 1, 0, 0), quotas.STORE)
    assert quotas.COUNT == ("image_count_total",)
    assert quotas.STORE == ("image_size_total", "image_count_uploading")
    assert quotas.STAGE == ("image_stage_total", "image_count_uploading")


@pytest.mark.parametrize(
    ("limit", "used", "most", "left"),
    [
        (-1, 10**12, 700, 700),
        (2, 0, 10 * MIB, 2 * MIB),
        (2, 0, 100, 100),
        (2, MIB + 1, 10 * MIB, MIB - 1),
        (2, 2 * MIB, 10 * MIB, 0),
        (2, 3 * MIB, 10 * MIB, 0),
        (0, 0, 10, 0),
    ],
)
def test_what_is_left(limit: int, used: int, most: int, left: int) -> None:
    """Never more than asked for, never less than nothing."""
    assert quotas.room(limit, used, most) == left
