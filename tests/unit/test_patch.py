"""Patch rules without HTTP: parsing, refusals, and the order of operations."""

import contextlib
import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tintype.domain import patch
from tintype.domain.images import Image
from tintype.errors import OverLimit, TintypeError
from tintype.settings import ImageSettings

LIMITS = ImageSettings(property_limit=4, tag_limit=2).limits()
OLD, NEW = patch.MEDIA_TYPES
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
CHANGES = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "replace", "remove"]),
            "path": st.sampled_from(["/a", "/b", "/c", "/name"]),
        },
        optional={"value": st.sampled_from(["1", "2"])},
    ),
    max_size=6,
)


def image(**values: Any) -> Image:
    return Image(id="i", created_at=1, updated_at=1, **values)


@given(st.sampled_from([OLD, NEW]), JSON)
def test_any_json_is_read_or_refused_with_meaning(media_type: str, body: Any) -> None:
    """A patch of any shape gives changes or one of our errors, never anything else."""
    with contextlib.suppress(TintypeError):
        patch.parse(media_type, body, LIMITS)


@given(CHANGES)
def test_a_patch_is_the_same_as_its_operations_one_by_one(body: list[dict[str, Any]]) -> None:
    """Applying a whole patch gives what applying its operations one after the other gives, or both refuse."""
    try:
        changes = patch.parse(NEW, body, LIMITS)
    except TintypeError:
        return
    start = image(properties={"a": "0"})

    def one_by_one() -> Image:
        return functools.reduce(lambda so_far, change: patch.apply(so_far, [change], LIMITS), changes, start)

    try:
        whole = patch.apply(start, changes, LIMITS)
    except TintypeError as refused:
        with pytest.raises(type(refused)):
            one_by_one()
    else:
        assert one_by_one() == whole


def test_limits_hold_for_the_result_not_for_the_steps() -> None:
    """A patch may pass over the limit on its way, if it ends below."""
    full = image(properties={str(number): "x" for number in range(4)})
    swap = patch.parse(
        NEW, [{"op": "add", "path": "/n", "value": "x"}, {"op": "remove", "path": "/0"}], LIMITS
    )
    assert set(patch.apply(full, swap, LIMITS).properties) == {"1", "2", "3", "n"}
    with pytest.raises(OverLimit):
        patch.apply(full, swap[:1], LIMITS)


def test_too_many_tags_are_refused() -> None:
    """Tags count once each."""
    three = patch.parse(NEW, [{"op": "replace", "path": "/tags", "value": ["a", "b", "a"]}], LIMITS)
    assert patch.apply(image(), three, LIMITS).tags == ("a", "b")
    with pytest.raises(OverLimit):
        patch.parse(NEW, [{"op": "replace", "path": "/tags", "value": ["a", "b", "c"]}], LIMITS)
