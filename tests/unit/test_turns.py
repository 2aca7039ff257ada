"""Whose turn it is: no group keeps another one waiting, and none takes more room than its own."""

import pytest

from tintype.domain.turns import Bounds, Turns, address_group


def served(turns: Turns[str]) -> list[str]:
    """Return all who wait, in the order in which they are served."""
    return list(iter(turns.next, None))


def test_groups_take_turns() -> None:
    """One of a small group waits for one of a large one, not for all of them."""
    turns: Turns[str] = Turns(Bounds(10, 100))
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        assert turns.add(name[0], name)
    assert served(turns) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(turns) == 0


def test_who_comes_later_is_not_served_before_those_who_wait() -> None:
    """A group that comes back while others wait is behind each of them once."""
    turns: Turns[str] = Turns(Bounds(10, 100))
    turns.add("a", "a1")
    turns.add("b", "b1")
    assert turns.next() == "a1"
    turns.add("a", "a2")
    assert served(turns) == ["b1", "a2"]


def test_a_group_has_its_bound_and_so_has_the_queue() -> None:
    """A group that is full leaves room for others, until the whole queue is full."""
    turns: Turns[str] = Turns(Bounds(2, 3))
    assert [turns.add("a", name) for name in ("a1", "a2", "a3")] == [True, True, False]
    assert [turns.add("b", name) for name in ("b1", "b2")] == [True, False]
    assert not turns.add("c", "c1")
    assert served(turns) == ["a1", "b1", "a2"]
    assert turns.add("a", "a4"), "whose turn has come leaves room"


def test_who_is_gone_is_not_served_and_takes_no_room() -> None:
    """One that leaves the queue is forgotten, its group too if it was the last; twice does no harm."""
    turns: Turns[str] = Turns(Bounds(1, 10))
    turns.add("a", "a1")
    turns.add("b", "b1")
    turns.discard("a", "a1")
    turns.discard("a", "a1")
    assert turns.add("a", "a2")
    assert served(turns) == ["b1", "a2"]


def test_how_many_are_ahead() -> None:
    """Of each group as many as the asking one has wait before its last; of a group without any, nobody."""
    turns: Turns[str] = Turns(Bounds(10, 100))
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        turns.add(name[0], name)
    assert [turns.ahead_of(group) for group in "abcd"] == [6, 5, 3, 0]
    order = served(turns)
    assert [order.index(last) + 1 for last in ("a3", "b2", "c1")] == [6, 5, 3]


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_what_counts_as_one_address(address: str, group: str) -> None:
    """Whoever has one address of an IPv6 site has 2^64; an IPv4 address is itself however it is written."""
    assert address_group(address) == group
