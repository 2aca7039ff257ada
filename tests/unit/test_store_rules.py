"""Names of stores: in which order they are shown, and which are asked for."""

import pytest

from tintype.domain import stores
from tintype.domain.stores import StoreInfo
from tintype.errors import Invalid

KNOWN = {
    info.id: info for info in (StoreInfo("a", "file"), StoreInfo("b", "file", weight=5), StoreInfo("c", "s3"))
}


def test_the_heaviest_first() -> None:
    """Of one weight by name, each once; a store that is gone weighs nothing."""
    assert stores.in_order(["c", "a", "b", "c"], KNOWN) == ("b", "a", "c")
    assert stores.in_order(["c", "aa", "b", "a"], KNOWN) == ("b", "a", "aa", "c")
    assert stores.in_order([], KNOWN) == ()
    negative = KNOWN | {"a": StoreInfo("a", "file", weight=-1)}
    assert stores.in_order(["a", "c", "gone"], negative) == ("c", "gone", "a")


def test_names_in_a_list() -> None:
    """Names between commas, spaces and empty ones aside."""
    assert stores.parse_names(None) == ()
    assert stores.parse_names("") == ()
    assert stores.parse_names(" , ") == ()
    assert stores.parse_names("b") == ("b",)
    assert stores.parse_names(" c ,a,") == ("c", "a")


def test_stores_that_there_are() -> None:
    """Any other is refused by its name."""
    stores.check_known(["a", "c"], KNOWN)
    with pytest.raises(Invalid) as refusal:
        stores.check_known(["a", "d"], KNOWN)
    assert refusal.value.message == "Store 'd' does not exist. There are: a, b, c."
