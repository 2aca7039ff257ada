"""Query strings of lists: filters, order, pages, and error messages."""

from typing import Any

import pytest

from tintype.domain import query
from tintype.domain.query import Condition, Query
from tintype.errors import Invalid

VISIBLE = Condition("os_hidden", "eq", value=False)


def parse(*pairs: tuple[str, str]) -> Query:
    return query.parse(pairs, default_limit=25, max_limit=100)


def refused(*pairs: tuple[str, str]) -> str:
    with pytest.raises(Invalid) as refusal:
        parse(*pairs)
    return refusal.value.message


def test_the_plain_list() -> None:
    """What is not hidden, the newest first, members that accepted."""
    assert parse() == Query(limit=25, conditions=(VISIBLE,))
    assert parse().order == (("created_at", "desc"), ("id", "desc"))
    assert parse().member_status == "accepted"
    assert query.parse([], default_limit=200, max_limit=100).limit == 100


@pytest.mark.parametrize(
    ("asked", "limit"), [("0", 0), ("7", 7), (" +7 ", 7), ("100", 100), ("101", 100), ("9" * 18, 100)]
)
def test_limits(asked: str, limit: int) -> None:
    assert parse(("limit", asked)).limit == limit


def test_what_is_no_limit() -> None:
    for wrong in ("", "x", "1.0", "٣", "9" * 19, "1" * 20, "1_0"):
        assert refused(("limit", wrong)) == "limit param must be an integer"
    assert refused(("limit", "-1")) == "limit param must be positive"
    assert parse(("size", str(2**63 - 1))).conditions[1].value == 2**63 - 1
    assert refused(("size", str(2**63))) == "size param must be an integer"


def test_choices() -> None:
    for visibility in ("community", "public", "private", "shared", "all"):
        assert parse(("visibility", visibility)).visibility == visibility
    assert parse(("visibility", "")).visibility is None
    for status in ("pending", "accepted", "rejected", "all"):
        assert parse(("member_status", status)).member_status == status
    assert refused(("visibility", "x")) == (
        "Invalid visibility value: x. It must be one of: community, public, private, shared, all."
    )
    assert refused(("member_status", "x")) == (
        "Invalid member status: x. It must be one of: pending, accepted, rejected, all."
    )
    assert "no longer available" in refused(("changes-since", "x"))
    assert parse(("changes-since", "")) == parse()
    assert parse(("marker", "m")).marker == "m"


@pytest.mark.parametrize(
    ("key", "value", "conditions"),
    [
        ("protected", "true", [("protected", "eq", True)]),
        ("protected", "false", [("protected", "eq", False)]),
        ("id", "ABC", [("id", "eq", "abc")]),
        ("name", "ABC", [("name", "eq", "ABC")]),
        ("name", "eq:a:b", [("name", "eq", "a:b")]),
        ("status", "in:active,queued", [("status", "in", ("active", "queued"))]),
        ("disk_format", 'in:raw,"a,b"', [("disk_format", "in", ("raw", "a,b"))]),
        ("container_format", "in:", [("container_format", "in", ("",))]),
        *((name, "in:x", [(name, "eq", "in:x")]) for name in ("owner", "checksum")),
        *((name, "x", [(name, "eq", "x")]) for name in ("os_hash_algo", "os_hash_value")),
        *((name, "5.0", [(name, "eq", 5)]) for name in ("size", "virtual_size", "min_disk", "min_ram")),
        ("size", "-5.00 ", [("size", "eq", -5)]),
        ("size_min", "5", [("size", "gte", 5)]),
        ("size_max", "5", [("size", "lte", 5)]),
        ("min_ram_max", "5", [("min_ram", "lte", 5)]),
        (
            "created_at",
            "1970-01-01T00:00:05",
            [("created_at", "gte", 5 * 10**6), ("created_at", "lt", 6 * 10**6)],
        ),
        ("updated_at", "eq:1970-01-01", [("updated_at", "gte", 0), ("updated_at", "lt", 10**6)]),
        ("created_at", "neq:1970-01-01T00:00:05Z", [("created_at", "outside", (5 * 10**6, 6 * 10**6))]),
        ("created_at", "gt:1970-01-01T00:00:05Z", [("created_at", "gte", 6 * 10**6)]),
        ("created_at", "gte:1970-01-01T00:00:05Z", [("created_at", "gte", 5 * 10**6)]),
        ("created_at", "lt:1970-01-01T00:00:05Z", [("created_at", "lt", 5 * 10**6)]),
        ("created_at", "lte:1970-01-01T00:00:05Z", [("created_at", "lt", 6 * 10**6)]),
        ("created_at", "gt:1970-01-01T01:00:05 01:00", [("created_at", "gte", 6 * 10**6)]),
        ("created_at", "gt:1970-01-01 00:00:05.9", [("created_at", "gte", 6 * 10**6)]),
    ],
)
def test_filters_on_attributes(key: str, value: str, conditions: list[tuple[str, str, Any]]) -> None:
    """Each beside the one that leaves out hidden images."""
    found = parse((key, value))
    assert found.conditions == (VISIBLE, *(Condition(*each) for each in conditions))
    assert found.properties == ()


def test_hidden_images() -> None:
    assert parse(("os_hidden", "True")).conditions == (Condition("os_hidden", "eq", value=True),)
    assert parse(("os_hidden", "false")).conditions == (VISIBLE,)


def test_filters_on_properties_and_tags() -> None:
    """Everything that is no attribute; of a repeated key the last one counts, tags are all wanted."""
    tags = [("tag", " y "), ("tag", "x"), ("tag", "y")]
    found = parse(("os_distro", "a"), *tags, ("os_distro", "b"), ("a_mi", "c"))
    assert found.properties == (("os_distro", "b"), ("a_mi", "c"))
    assert found.tags == ("x", "y")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *(
            (name, "x", f"Invalid value 'x' for '{name}' filter. Valid values are 'true' or 'false'.")
            for name in ("os_hidden", "protected")
        ),
        (
            "protected",
            "True",
            "Invalid value 'True' for 'protected' filter. Valid values are 'true' or 'false'.",
        ),
        ("size", "5.5", "size param must be an integer"),
        ("size_min", "5.0", "size_min param must be an integer"),
        ("x_max", "5", "Unable to filter on a range of 'x': it is no number attribute."),
        ("name", "gt:x", "Unable to filter by unknown operator 'gt'."),
        ("created_at", "in:1970-01-01", "Unable to filter by unknown operator 'in'."),
        *(
            ("created_at", wrong, 'Bad "created_at" query filter format. Use ISO 8601 DateTime notation.')
            for wrong in ("", "x", "gt:", "1970-13-01", "gt:9999-99-99")
        ),
        (
            "name",
            'in:"a',
            'Invalid filter value "a. The quote is not closed, or a comma is missing.',
        ),
        (
            "name",
            'in:"a"b',
            'Invalid filter value "a"b. The quote is not closed, or a comma is missing.',
        ),
        (
            "name",
            'in:a"b',
            'Invalid filter value a"b. There is no comma before opening quotation mark.',
        ),
        ("a\0", "x", "The query string must not contain a NUL character."),
        ("a", "\0", "The query string must not contain a NUL character."),
    ],
)
def test_filters_that_cannot_be(key: str, value: str, message: str) -> None:
    assert refused((key, value)) == message


def test_quotes_inside_quotes() -> None:
    assert list(query.split_quoted(r'"a\"b","c\\d",e')) == ['a"b', r"c\d", "e"]
    assert list(query.split_quoted('a,"b"')) == ["a", "b"]
    assert list(query.split_quoted("a,")) == ["a", ""]
    assert list(query.split_quoted('"a",')) == ["a", ""]
    assert list(query.split_quoted(r"a\"b")) == [r"a\"b"]


@pytest.mark.parametrize(
    ("pairs", "order"),
    [
        ([("sort_key", "name")], "name:desc created_at:desc id:desc"),
        ([("sort_key", "name"), ("sort_dir", "asc")], "name:asc created_at:asc id:asc"),
        ([("sort_dir", "asc")], "created_at:asc id:asc"),
        ([("sort_key", " id ")], "id:desc created_at:desc"),
        (
            [("sort_key", "name"), ("sort_key", "size"), ("sort_dir", "asc"), ("sort_dir", "desc")],
            "name:asc size:desc created_at:desc id:desc",
        ),
        (
            [("sort_key", "name"), ("sort_key", "size"), ("sort_dir", "asc")],
            "name:asc size:asc created_at:asc id:asc",
        ),
        ([("sort", "name:asc,size")], "name:asc size:desc created_at:desc id:desc"),
        ([("sort", "status:asc")], "status:asc created_at:asc id:asc"),
        ([("sort", "name:asc"), ("sort", " size : asc ")], "size:asc created_at:asc id:asc"),
        ([("sort", "name:asc,name:desc")], "name:asc created_at:desc id:desc"),
        ([("sort", "name:asc,size:desc,name:desc")], "name:asc size:desc created_at:desc id:desc"),
    ],
)
def test_orders(pairs: list[tuple[str, str]], order: str) -> None:
    """Total, always: creation and id break ties."""
    assert " ".join(":".join(each) for each in parse(*pairs).order) == order


def test_orders_that_cannot_be() -> None:
    names = "name, status, container_format, disk_format, size, id, created_at, updated_at"
    assert refused(("sort_key", "x")) == f"Invalid sort key: x. It must be one of: {names}."
    assert refused(("sort_dir", "up")) == "Invalid sort direction: up. It must be one of: asc, desc."
    assert refused(("sort", "name:up")) == "Invalid sort direction: up. It must be one of: asc, desc."
    both = "Old and new sorting syntax cannot be combined"
    assert refused(("sort", "name"), ("sort_key", "name")) == both
    assert refused(("sort", "name"), ("sort_dir", "asc")) == both
    three = [("sort_dir", "asc")] * 3
    assert refused(("sort_key", "name"), ("sort_key", "size"), *three) == (
        "Number of sort dirs does not match the number of sort keys"
    )


def test_how_much_may_be_asked() -> None:
    """Filters, sort keys and values have bounds, to the last that is allowed."""
    filters = [(f"p{number}", "x") for number in range(31)]
    assert len(parse(*filters, ("tag", "a"), ("limit", "5")).properties) == 31
    assert (
        refused(*filters, ("tag", "a"), ("tag", "b")) == "A list may have at most 32 filters; 33 were given."
    )
    keys = ",".join(["name"] * 16)
    assert parse(("sort", keys)).order[0] == ("name", "desc")
    many = "A list may have at most 16 sort keys."
    assert refused(("sort", f"{keys},name")) == many
    assert refused(*[("sort_key", "name")] * 17) == many
    assert refused(*[("sort_dir", "asc")] * 17) == many
    assert parse(*[("sort_key", "name")] * 16).order[0] == ("name", "desc")
    values = ",".join(["x"] * 1000)
    assert len(parse(("name", f"in:{values}")).conditions[1].value) == 1000
    assert refused(("name", f"in:{values},x")) == "At most 1000 values may follow 'name=in:'."
