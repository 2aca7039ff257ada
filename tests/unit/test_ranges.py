"""Range headers: any text gives bytes of the image or a clear refusal."""

from hypothesis import given
from hypothesis import strategies as st

from tintype.domain import ranges
from tintype.errors import Invalid


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
