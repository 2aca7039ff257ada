"""Checks of properties against the catalogue's definitions, and their messages."""

from typing import Any

import pytest

from tintype.domain import property_checks as checks
from tintype.domain.metadefs import Association, Definition, Namespace, Object


def namespace(**values: Any) -> Namespace:
    made = {"id": "one", "namespace": "OS::X", "created_at": 0, "updated_at": 0, "visibility": "public"}
    return Namespace(**{**made, **values})


IMAGE = {"OS::Glance::Image": Association("OS::Glance::Image", 0, 0, "hw_")}
CORES, RAM = {"type": "integer", "minimum": 1}, {"type": "integer"}


def test_definitions_of_images() -> None:
    """Those of public namespaces that are for images, with their prefix, also from objects."""
    whole = namespace(
        properties={"cores": CORES},
        objects={"o": Object("o", 0, 0, properties={"ram": RAM})},
        associations=IMAGE,
    )
    assert checks.definitions([whole]) == {"hw_cores": [CORES], "hw_ram": [RAM]}
    other = namespace(properties={"cores": RAM}, associations=IMAGE)
    assert checks.definitions([whole, other])["hw_cores"] == [CORES, RAM]
    plain = {"OS::Glance::Image": Association("OS::Glance::Image", 0, 0)}
    assert checks.definitions([namespace(properties={"cores": CORES}, associations=plain)]) == {
        "cores": [CORES]
    }
    elsewhere = {"OS::Nova::Flavor": Association("OS::Nova::Flavor", 0, 0)}
    for passed_over in (
        namespace(properties={"cores": CORES}, associations=elsewhere),
        namespace(properties={"cores": CORES}, associations=IMAGE, visibility="private"),
    ):
        assert checks.definitions([passed_over]) == {}
        assert checks.definitions([passed_over, whole])["hw_cores"] == [CORES]


WHOLE = "a whole number"
VALUES: list[tuple[Definition, str, str | None]] = [
    ({}, "anything", None),
    ({"type": "object"}, "anything", None),
    ({"type": "string"}, "anything", None),
    ({"type": "string", "enum": ["a", "b"]}, "b", None),
    ({"type": "string", "enum": ["a", "b"]}, "c", "one of a, b"),
    ({"type": "string", "enum": []}, "c", None),
    ({"type": "string", "enum": [1, 2]}, "1", None),
    ({"type": "string", "enum": list(range(20))}, "x", f"one of {', '.join(map(str, range(20)))}"),
    ({"type": "string", "enum": list(range(21))}, "x", f"one of {', '.join(map(str, range(20)))} …"),
    ({"type": "string", "minLength": 2}, "ab", None),
    ({"type": "string", "minLength": 2}, "a", "of at least 2 characters"),
    ({"type": "string", "maxLength": 2}, "ab", None),
    ({"type": "string", "maxLength": 0}, "a", "of at most 0 characters"),
    ({"type": "string", "maxLength": 2}, "abc", "of at most 2 characters"),
    ({"type": "string", "pattern": "^a+$"}, "aa", None),
    ({"type": "string", "pattern": "^a+$"}, "ab", "like ^a+$"),
    ({"type": "string", "pattern": "b"}, "abc", None),
    ({"type": "string", "pattern": "("}, "x", None),
    ({"type": "string", "pattern": f"^{'a?' * 499}$"}, "x", f"like ^{'a?' * 499}$"),
    ({"type": "string", "pattern": f"^{'a' * 1000}"}, "x", None),
    ({"type": "string", "pattern": r"^\pL{200}$"}, "1", None),  # takes more memory than patterns have
    ({"type": "string", "pattern": r"^\pL{20}$"}, "1", r"like ^\pL{20}$"),
    ({"type": "integer"}, "7", None),
    ({"type": "integer"}, "-7", None),
    ({"type": "integer"}, "7.5", WHOLE),
    ({"type": "integer"}, "x", WHOLE),
    ({"type": "integer"}, "1_000", WHOLE),
    ({"type": "integer"}, "٣", WHOLE),
    ({"type": "integer", "minimum": 2}, "2", None),
    ({"type": "integer", "minimum": 2}, "1", f"{WHOLE} of at least 2"),
    ({"type": "integer", "maximum": 2}, "2", None),
    ({"type": "integer", "maximum": 2}, "3", f"{WHOLE} of at most 2"),
    ({"type": "integer", "enum": [1, 2]}, "2", None),
    ({"type": "integer", "enum": [1, 2]}, "3", "one of 1, 2"),
    ({"type": "number"}, "7.5", None),
    ({"type": "number"}, "x", "a number"),
    ({"type": "number"}, "1_0.5", "a number"),
    ({"type": "number", "minimum": 0}, "nan", "a number of at least 0"),
    ({"type": "number", "maximum": 0}, "nan", "a number of at most 0"),
    *(
        ({"type": "boolean"}, value, None)
        for value in ("true", "T", "yes", "y", "on", "1", "False", "f", "no", "n", "off", "0")
    ),
    ({"type": "boolean"}, "2", "true or false"),
    ({"type": "boolean"}, "", "true or false"),
    ({"type": "array"}, "a,b", None),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, "a, b", None),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, "a,c", "one of a, b"),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, "c,a", "one of a, b"),
]


@pytest.mark.parametrize(("definition", "value", "wish"), VALUES, ids=lambda value: repr(value)[:30])
def test_values(definition: Definition, value: str, wish: str | None) -> None:
    """What a definition wants that a value is not."""
    assert checks.unmet(value, definition) == wish


def test_one_definition_that_accepts_is_enough() -> None:
    """Else each says what it wants, once."""
    known: dict[str, list[Definition]] = {"cores": [CORES, {"type": "boolean"}, CORES], "ram": [RAM]}
    assert checks.violations({"cores": "4", "ram": "1"}, known) == []
    assert checks.violations({"cores": "true"}, known) == []
    assert checks.violations({"cores": "x", "ram": "y", "other": "z"}, known) == [
        "cores must be a whole number or true or false",
        "ram must be a whole number",
    ]
    assert checks.violations({"name": "x", "ram": None, "min_disk": "x"}, known | {"name": [RAM]}) == []
    assert checks.violations({"name": "x", "min_disk": "y", "ram": "y"}, known | {"min_disk": [RAM]}) == [
        "ram must be a whole number"
    ]
