"""Range headers: any text gives bytes of the image or a clear refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tintype.domain import ranges
from tintype.errors import BadRange, Invalid


def requested(range_header: str | None, content_range: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that headers ask for of so many."""
    wanted = ranges.parse(range_header, content_range)
    return None if wanted is None else wanted.within(size)


HEADERS = st.text(alphabet="bytes=-,0123456789 ", max_size=30) | st.text(max_size=30)


@given(HEADERS, st.integers(0, 100))
def test_any_range_header_is_answered_or_refused(header: str, size: int) -> None:
    """What is given lies inside the image and is not empty."""
    try:
        wanted = requested(header, None, size)
    except Invalid:
        return
    assert wanted is not None
    start, stop = wanted
    assert 0 <= start < stop <= size


@given(HEADERS, st.integers(0, 100))
def test_so_is_any_content_range_header(header: str, size: int) -> None:
    """The header that old clients send for Range."""
    try:
        wanted = requested(None, header, size)
    except Invalid:
        return
    assert wanted is not None
    assert 0 <= wanted[0] < wanted[1] <= size


@given(st.integers(1, 50), st.data())
def test_a_range_gives_the_bytes_it_names(size: int, data: st.DataObject) -> None:
    """First and last byte are both inside; a suffix counts from the end."""
    content = bytes(range(size))
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size + 5))
    start, stop = requested(f"bytes={first}-{last}", None, size) or (0, 0)
    assert content[start:stop] == content[first : last + 1]
    suffix = data.draw(st.integers(1, size + 5))
    start, stop = requested(f"bytes=-{suffix}", None, size) or (0, 0)
    assert content[start:stop] == content[-suffix:]


def test_no_header_is_the_whole_image() -> None:
    """Without either header all bytes are meant."""
    assert requested(None, None, 10) is None


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=9-9", (9, 10)),
        ("bytes=3-99", (3, 10)),
        ("bytes=-1", (9, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-11", (0, 10)),
        (" BYTES = 1 - 2 ", (1, 3)),
        (f"bytes=0-{'9' * 19}", (0, 10)),
        (f"bytes=0-1{' ' * 91}", (0, 2)),
    ],
)
def test_ranges_that_can_be_had(header: str, wanted: tuple[int, int]) -> None:
    """First and last byte included, to the end of the image; `Range` counts more than `Content-Range`."""
    assert requested(header, None, 10) == wanted
    assert requested(header, "bytes 4-5/10", 10) == wanted


LONG = "1" * 20
INVALID = "Invalid Range header."
START = "Invalid start position in Range header. It must be in the inclusive range [0, 9]."


@pytest.mark.parametrize(
    ("header", "message"),
    [
        *((header, INVALID) for header in ("", "bytes", "bytes=", "bytes=-", "bytes=-0", "bytes=2-1")),
        *((header, INVALID) for header in ("items=0-1", "bytes=a-b", "bytes=0-1x", "bytes=\u0663-")),
        *(
            (header, INVALID)
            for header in (f"bytes={'1' * 20}-", f"bytes=0-{'1' * 20}", f"bytes=-{'1' * 20}")
        ),
        (f"bytes=0-1{' ' * 92}", INVALID),
        ("bytes=10-", START),
        ("bytes=10-12", START),
    ],
)
def test_ranges_that_cannot_be_had(header: str, message: str) -> None:
    with pytest.raises(BadRange) as refusal:
        requested(header, None, 10)
    assert refusal.value.message == message


def test_an_empty_image_has_no_ranges() -> None:
    for header in ("bytes=-1", "bytes=0-", "bytes=0-0"):
        with pytest.raises(BadRange):
            requested(header, None, 0)


def test_several_ranges_are_another_mistake() -> None:
    with pytest.raises(Invalid) as refusal:
        requested("bytes=0-1,3-4", None, 10)
    assert type(refusal.value) is Invalid
    assert "multiple ranges are not supported" in refusal.value.message


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes 0-0/10", (0, 1)),
        (" bytes  0-9/* ", (0, 10)),
        ("bytes 9-9/10", (9, 10)),
        (f"bytes 0-1/{'9' * 19}", (0, 2)),
    ],
)
def test_content_ranges(header: str, wanted: tuple[int, int]) -> None:
    """What the whole is said to be does not matter."""
    assert requested(None, header, 10) == wanted


@pytest.mark.parametrize(
    ("header", "message"),
    [
        *(
            (header, "Invalid Content-Range header.")
            for header in ("", "bytes=0-1/10", "bytes 0-1", "bytes 0-/10", f"bytes 0-1/{'1' * 20}")
        ),
        (f"bytes 0-1/10{' ' * 89}", "Invalid Content-Range header."),
        *(
            (header, "Invalid Content-Range header: the image has 10 bytes.")
            for header in ("bytes 2-1/10", "bytes 10-10/*", "bytes 9-10/*")
        ),
    ],
)
def test_content_ranges_that_cannot_be_had(header: str, message: str) -> None:
    with pytest.raises(BadRange) as refusal:
        requested(None, header, 10)
    assert refusal.value.message == message
