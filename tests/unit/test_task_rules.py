"""Tasks: lists, ownership, and the input of a task of type import."""

from typing import Any

import pytest

from tintype.domain import tasks
from tintype.domain.tasks import TaskQuery
from tintype.errors import Invalid

ID = "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"
KEYS = ("created_at", "updated_at", "expires_at", "id", "type", "status", "owner")
INPUT = {"import_from": "https://x", "import_from_format": "raw", "image_properties": {}}


def parse(**values: str) -> TaskQuery:
    return tasks.parse_query(list(values.items()), default_limit=25, max_limit=100)


def test_the_plain_list() -> None:
    """The newest first, as many as by default."""
    assert parse() == TaskQuery(25, None, "created_at", True, ())
    assert tasks.parse_query([], default_limit=200, max_limit=100).limit == 100


@pytest.mark.parametrize(
    ("asked", "limit"), [("0", 0), ("7", 7), ("100", 100), ("101", 100), ("999999999", 100)]
)
def test_limits(asked: str, limit: int) -> None:
    assert parse(limit=asked).limit == limit


@pytest.mark.parametrize("asked", ["", "-1", "1.0", "a", "٣", "²", "1000000000"])
def test_what_is_no_limit(asked: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(limit=asked)
    assert refusal.value.message == "limit param must be an integer that is not negative."


def test_order_and_marker() -> None:
    """UUIDs are found however they are written."""
    for key in KEYS:
        assert parse(sort_key=key).sort_key == key
    assert parse(sort_dir="asc").descending is False
    assert parse(sort_dir="desc").descending is True
    assert parse(marker=ID.upper()).marker == ID
    for values, message in (
        ({"marker": "x"}, "Invalid marker format"),
        ({"marker": f"{ID}0"}, "Invalid marker format"),
        ({"sort_dir": "up"}, "Invalid sort direction: up"),
        (
            {"sort_key": "name"},
            f"Invalid sort_key 'name'; it must be one of: {', '.join(KEYS)}.",
        ),
    ):
        with pytest.raises(Invalid) as refusal:
            parse(**values)
        assert refusal.value.message == message


def test_filters() -> None:
    """By status, type and owner, in that order; others say nothing."""
    found = parse(owner="alpha", type="import", status="pending", name="x", limit="3")
    assert found.filters == (("status", "pending"), ("type", "import"), ("owner", "alpha"))
    for status in ("pending", "processing", "success", "failure"):
        assert parse(status=status).filters == (("status", status),)
    for kind in ("import", "api_image_import", "location_import"):
        assert parse(type=kind).filters == (("type", kind),)
    for name, value in (("status", "done"), ("type", "export")):
        with pytest.raises(Invalid) as refusal:
            parse(**{name: value})
        assert refusal.value.message == f"Invalid {name} value: {value}"


def test_a_project_sees_its_own() -> None:
    """Whoever asks for those of others gets none."""
    assert parse().of("alpha").filters == (("owner", "alpha"),)
    assert parse(owner="alpha").of("alpha").filters == (("owner", "alpha"),)
    assert parse(owner="beta").of("alpha").filters == (("owner", ""),)
    found = parse(status="pending", owner="alpha", limit="3").of("alpha")
    assert found == TaskQuery(3, None, "created_at", True, (("status", "pending"), ("owner", "alpha")))


def test_a_task_of_type_import() -> None:
    assert tasks.check_legacy_import({"type": "import", "input": INPUT}) is INPUT


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "The request body must be a JSON object."),
        ([], "The request body must be a JSON object."),
        ({"input": INPUT}, "Task 'type' is required"),
        ({"type": "import"}, "Task 'input' is required"),
        (
            {"type": "api_image_import", "input": INPUT},
            "Only tasks of type 'import' can be created; the service creates the others itself.",
        ),
        ({"type": "import", "input": []}, "Task 'input' must be an object."),
        *(
            (
                {"type": "import", "input": {key: INPUT[key] for key in INPUT if key != name}},
                f"Input does not contain '{name}' field",
            )
            for name in INPUT
        ),
        (
            {"type": "import", "input": INPUT | {"image_properties": []}},
            "'image_properties' must be an object and 'import_from' a URL.",
        ),
        (
            {"type": "import", "input": INPUT | {"import_from": None}},
            "'image_properties' must be an object and 'import_from' a URL.",
        ),
    ],
)
def test_what_is_no_task(body: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        tasks.check_legacy_import(body)
    assert refusal.value.message == message
