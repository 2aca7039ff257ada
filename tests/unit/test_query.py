"""Reading list requests."""

from hypothesis import given
from hypothesis import strategies as st

from tintype.domain import query
from tintype.errors import Invalid

KEYS = st.sampled_from(
    (
        *("limit", "marker", "sort", "sort_key", "sort_dir", "name", "status", "size_min", "size", "tag"),
        *("created_at", "visibility", "member_status", "os_hidden", "protected", "owner", "x_max", "custom"),
    )
)
VALUES = st.text(max_size=20) | st.sampled_from(
    ["name:asc", "in:a,b", "gt:2020-01-01", "10", "true", "all", "asc"]
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_any_query_string_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    """A list request of any shape gives a query in total order, or Invalid."""
    try:
        parsed = query.parse(pairs, default_limit=25, max_limit=1000)
    except Invalid:
        return
    keys = [key for key, _ in parsed.order]
    assert len(set(keys)) == len(keys)
    assert {"created_at", "id"} <= set(keys)
    assert 0 <= parsed.limit <= 1000


@given(st.lists(st.text(alphabet='ab,"\\', min_size=1, max_size=5), min_size=1, max_size=5))
def test_quoted_values_come_back(values: list[str]) -> None:
    """What is written in quotes, with quotes and backslashes escaped, is read as it was."""
    written = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    assert list(query.split_quoted(written)) == values


def test_plain_values_are_split_at_commas() -> None:
    """Quotes are needed for commas only."""
    assert list(query.split_quoted("a,b")) == ["a", "b"]
    assert list(query.split_quoted('a,"b,c",d')) == ["a", "b,c", "d"]
    assert list(query.split_quoted("")) == [""]
