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


def test_a_wish() -> None:
    """Names between commas, spaces and empty ones aside."""
    assert stores.preferred(None, KNOWN) == []
    assert stores.preferred("", KNOWN) == []
    assert stores.preferred(" , ", KNOWN) == []
    assert stores.preferred("b", KNOWN) == ["b"]
    assert stores.preferred(" c ,a,", KNOWN) == ["c", "a"]
    with pytest.raises(Invalid) as refusal:
        stores.preferred("a,d", KNOWN)
    assert refusal.value.message == "Store 'd' does not exist. There are: a, b, c."
