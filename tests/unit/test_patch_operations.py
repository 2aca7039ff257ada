"""JSON patches in both dialects: the effect of each operation, and error messages."""

from typing import Any

import pytest

from tintype.domain import patch
from tintype.domain.images import Image, Limits
from tintype.domain.patch import Change, LocationChange
from tintype.domain.property_schema import PropertySchema
from tintype.errors import Conflict, Forbidden, Invalid, OverLimit, TintypeError, UnsupportedMedia

LIMITS = Limits(disk_formats=("raw",), container_formats=("bare",), properties=3, tags=2)
OLD, NEW = patch.MEDIA_TYPES
IMAGE = Image("one", 0, 0, name="n", properties={"a": "1"})


def parse(*operations: Any, media_type: str = NEW) -> list[Change]:
    return patch.parse(media_type, list(operations), LIMITS)


def refused(*operations: Any, media_type: str = NEW) -> tuple[type[TintypeError], str]:
    with pytest.raises(TintypeError) as refusal:
        parse(*operations, media_type=media_type)
    return type(refusal.value), refusal.value.message


def test_the_media_type_is_the_dialect() -> None:
    assert OLD == "application/openstack-images-v2.0-json-patch"
    assert NEW == "application/openstack-images-v2.1-json-patch"
    for wrong in ("application/json", "", NEW.upper()):
        with pytest.raises(UnsupportedMedia) as refusal:
            patch.parse(wrong, [], LIMITS)
        assert refusal.value.message == f"Image PATCH expects Content-Type one of: {OLD}, {NEW}"


def test_operations_are_read() -> None:
    """Values are checked as those of new images are, removals need none, names are unescaped."""
    assert parse() == []
    assert parse(
        {"op": "add", "path": "/b", "value": "2"},
        {"op": "replace", "path": "/min_ram", "value": 5.0},
        {"op": "remove", "path": "/a~1b~0c"},
    ) == [Change("add", "b", "2"), Change("replace", "min_ram", 5), Change("remove", "a/b~c")]
    older = [{"add": "/b", "value": "2"}, {"remove": "/b"}, {"replace": "/a", "value": "3"}]
    assert parse(*older, media_type=OLD) == [
        Change("add", "b", "2", strict_add=True),
        Change("remove", "b", strict_add=True),
        Change("replace", "a", "3", strict_add=True),
    ]
    stores, other = ({"op": "remove", "path": path} for path in ("/stores", "/a"))
    assert parse(stores, other) == [Change("remove", "a")]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        *((wrong, "Operations must be JSON objects.") for wrong in list[Any]((None, 7, [], "x"))),
        *(
            (
                {"op": op, "path": "/a", "value": "x"},
                f"Invalid operation: `{op}`. It must be one of the following: add, remove, replace.",
            )
            for op in (None, "move", ["add"], "")
        ),
        ({"op": "add", "value": "x"}, "Unable to find 'path' in JSON Schema change"),
        ({"op": "add", "path": "/a"}, 'Operation "add" requires a member named "value".'),
        ({"op": "replace", "path": "/a"}, 'Operation "replace" requires a member named "value".'),
        *(
            ({"op": "remove", "path": path}, message)
            for path, message in (
                (7, 'Pointer `7` does not start with "/".'),
                ("a", 'Pointer `a` does not start with "/".'),
                ("", 'Pointer `` does not start with "/".'),
                ("/a//b", 'Pointer `/a//b` contains adjacent "/".'),
                ("/a/ /b", 'Pointer `/a/ /b` contains adjacent "/".'),
                ("/a/", 'Pointer `/a/` end with "/".'),
                *(
                    (path, f'Pointer `{path}` contains "~" not part of a recognized escape sequence.')
                    for path in ("/a~2", "/a~", "/~a")
                ),
                ("/a/b", "Invalid JSON pointer for this resource: '/a/b'"),
                ("/locations", "Invalid JSON pointer for this resource: '/locations'"),
            )
        ),
        ({"op": "add", "path": "/name", "value": 7}, "'name' must be a string, not a number."),
    ],
)
def test_operations_that_make_no_sense(operation: Any, message: str) -> None:
    assert refused(operation) == (Invalid, message)


def test_operations_of_the_older_dialect_that_make_no_sense() -> None:
    one = 'Operation objects must contain exactly one member named "add", "remove", or "replace".'
    for wrong in ({}, {"op": "add", "path": "/a"}, {"add": "/a", "remove": "/a"}):
        assert refused(wrong, media_type=OLD) == (Invalid, one)
    _, message = refused({"add": "/a"}, media_type=OLD)
    assert message == 'Operation "add" requires a member named "value".'


def test_whole_documents() -> None:
    wrong: Any
    for wrong in (None, {}, "x"):
        with pytest.raises(Invalid) as refusal:
            patch.parse(NEW, wrong, LIMITS)
        assert refusal.value.message == "Request body must be a JSON array of operation objects."
    one = {"op": "remove", "path": "/a"}
    assert len(parse(*[one] * 1000)) == 1000
    assert refused(*[one] * 1001) == (Invalid, "A patch may have at most 1000 operations; 1001 were given.")
    assert refused({"op": "add", "path": "/status", "value": "x"}) == (
        Forbidden,
        "Attribute 'status' is read-only.",
    )
    assert refused({"op": "remove", "path": "/id"})[0] is Forbidden
    assert refused({"op": "add", "path": "/locations/-", "value": {}}) == (
        Forbidden,
        "Attribute 'locations' is reserved.",
    )


def apply(*changes: Change, image: Image = IMAGE, limits: Limits = LIMITS) -> Image:
    return patch.apply(image, changes, limits)


def test_what_operations_do() -> None:
    """To attributes, properties and tags, in order; the image itself does not change."""
    assert apply() == IMAGE
    assert apply(Change("replace", "name", "m"), Change("add", "name", "o")).name == "o"
    assert apply(Change("add", "b", "2")).properties == {"a": "1", "b": "2"}
    assert apply(Change("add", "a", "2")).properties == {"a": "2"}
    assert apply(Change("replace", "a", "2")).properties == {"a": "2"}
    assert apply(Change("remove", "a")).properties == {}
    assert apply(Change("remove", "a"), Change("add", "a", "2")).properties == {"a": "2"}
    assert apply(Change("replace", "a")).properties == {}
    assert apply(Change("add", "b")).properties == {"a": "1"}
    assert apply(Change("replace", "tags", ["b", "a", "b"])).tags == ("a", "b")
    assert IMAGE.properties == {"a": "1"}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (Change("remove", "name"), Forbidden, "Property name may not be removed."),
        (Change("add", "name", "x", strict_add=True), Conflict, "Property name already present."),
        (Change("add", "a", "x", strict_add=True), Conflict, "Property a already present."),
        (Change("remove", "b"), Conflict, "Property b does not exist."),
        (Change("replace", "b", "x"), Conflict, "Property b does not exist."),
        (Change("replace", "b", "x", strict_add=True), Conflict, "Property b does not exist."),
        (
            Change("replace", "tags", ["a", "b", "c"]),
            OverLimit,
            "Maximum number of tags is 2; the image would have 3.",
        ),
    ],
)
def test_changes_that_cannot_be(change: Change, kind: type[TintypeError], message: str) -> None:
    with pytest.raises(kind) as refusal:
        apply(change)
    assert refusal.value.message == message


def test_the_older_dialect_replaces_what_is_there() -> None:
    assert apply(Change("replace", "name", "m", strict_add=True)).name == "m"
    assert apply(Change("replace", "a", "2", strict_add=True)).properties == {"a": "2"}
    assert apply(Change("add", "b", "2", strict_add=True)).properties == {"a": "1", "b": "2"}
    assert apply(Change("remove", "a", strict_add=True)).properties == {}


def test_formats_and_schemas_hold() -> None:
    """Bytes are not relabelled, and what an operator requires is not taken away."""
    active = Image("one", 0, 0, status="active", properties={"a": "1"})
    with pytest.raises(Forbidden, match="disk_format can be only replaced"):
        apply(Change("replace", "disk_format", "raw"), image=active)
    assert apply(Change("replace", "disk_format", "raw")).disk_format == "raw"
    required = Limits(disk_formats=(), container_formats=(), schema=PropertySchema({}, ["a"]))
    with pytest.raises(Invalid, match="'a' is a required property"):
        apply(Change("remove", "a"), limits=required)
    assert apply(Change("add", "b", "1"), limits=required).properties == {"a": "1", "b": "1"}
    assert apply(image=Image("two", 0, 0), limits=required).properties == {}


def locations(*operations: Any, media_type: str = NEW) -> LocationChange | None:
    return patch.parse_locations(media_type, list(operations))


def test_patches_of_locations() -> None:
    """One operation, in either dialect; other patches are none."""
    value = {"url": "https://x"}
    added = locations({"op": "add", "path": "/locations/-", "value": value})
    assert added == LocationChange("add", None, value)
    assert locations({"op": "replace", "path": "/locations", "value": [value]}) == LocationChange(
        "replace", None, [value]
    )
    assert locations({"op": "remove", "path": "/locations/7"}) == LocationChange("remove", 7)
    assert locations({"op": "remove", "path": "/locations/999"}) == LocationChange("remove", 999)
    assert locations({"remove": "/locations/0"}, media_type=OLD) == LocationChange("remove", 0)
    assert locations({"op": "remove", "path": "/a"}) is None
    assert locations() is None
    assert locations({"op": "remove", "path": "/locations/7"}, media_type="application/json") is None
    assert patch.parse_locations(NEW, {}) is None
    assert patch.parse_locations(NEW, [{"op": "remove", "path": "/a"}] * 1001) is None


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            {"op": "add", "path": "/locations", "value": {}},
            "Invalid JSON pointer for this resource: '/locations'",
        ),
        (
            {"op": "replace", "path": "/locations/1", "value": []},
            "Invalid JSON pointer for this resource: '/locations/1'",
        ),
        ({"op": "remove", "path": "/locations"}, "Invalid JSON pointer for this resource: '/locations'"),
        (
            {"op": "remove", "path": "/locations/1/2"},
            "Invalid JSON pointer for this resource: '/locations/1/2'",
        ),
        (
            {"op": "remove", "path": "/locationsx/1"},
            "Invalid JSON pointer for this resource: '/locationsx/1'",
        ),
        *(
            ({"op": "remove", "path": f"/locations/{wrong}"}, "Invalid position for removing a location.")
            for wrong in ("-", "x", "1000", "-1", "²")
        ),
        (
            {"op": "add", "path": "/locations/1", "value": {}},
            "Invalid position for adding a location: they are added at the end, with '-'.",
        ),
        ({"op": "add", "path": "/locations/-"}, 'Operation "add" requires a member named "value".'),
        ({"op": "replace", "path": "/locations"}, 'Operation "replace" requires a member named "value".'),
    ],
)
def test_patches_of_locations_that_cannot_be(operation: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        locations(operation)
    assert refusal.value.message == message
    with pytest.raises(Invalid) as mixed:
        locations({"op": "remove", "path": "/a"}, operation)
    assert mixed.value.message == "A patch that changes an image's locations has one operation."
