"""An operator's schema of properties, in both of Glance's forms."""

import json
from typing import Any

import pytest

from tintype.domain import property_schema
from tintype.errors import Invalid

STRING = {"type": "string"}


def read(document: Any, taken: tuple[str, ...] = ("name", "id")) -> property_schema.PropertySchema:
    return property_schema.read(json.dumps(document), taken)


def test_both_forms() -> None:
    """The flat one defines, the extended one demands, too."""
    flat = read({"kernel": STRING})
    assert (flat.definitions, flat.required) == ({"kernel": STRING}, ())
    extended = read({"properties": {"kernel": STRING}, "required": ["kernel", "other"]})
    assert (extended.definitions, extended.required) == ({"kernel": STRING}, ("kernel", "other"))
    assert read({"properties": {}, "required": None}).required == ()
    assert read({"required": STRING}).required == ()
    assert read({}).definitions == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "it must be a JSON object"),
        ({"properties": []}, "'properties' must be an object"),
        ({"properties": {}, "required": "kernel"}, "'required' must be a list of names"),
        ({"properties": {}, "required": [7]}, "'required' must be a list of names"),
        ({"name": STRING}, "it redefines attributes of every image: name"),
        ({"properties": {"name": STRING, "id": STRING}}, "it redefines attributes of every image: id, name"),
        ({"a": "string"}, "the definition of 'a' is not an object"),
        ({"a": {"$ref": "http://x"}}, "the definition of 'a' has a $ref"),
        ({"a": {"items": {"$ref": "#"}}}, "the definition of 'a' has a $ref"),
    ],
)
def test_what_is_no_schema(document: Any, reason: str) -> None:
    with pytest.raises(ValueError) as refusal:
        read(document)
    assert str(refusal.value) == reason


@pytest.mark.parametrize("definition", [{"type": "text"}, {"pattern": "("}, {"minimum": "x"}])
def test_definitions_that_cannot_be_compiled(definition: Any) -> None:
    with pytest.raises(ValueError, match=r"^the definition of 'a' is not a JSON schema: "):
        read({"b": STRING, "a": definition})
    with pytest.raises(ValueError, match="Expecting"):
        property_schema.read("{", ())


def test_values() -> None:
    """What the definition does not accept, and what no property can hold."""
    schema = read({"kernel": {"type": ["null", "string"], "pattern": "^a"}, "any": {}})
    value: Any
    for value in (None, "abc"):
        schema.check("kernel", value)
    for value in (7, "b", [], {}):
        with pytest.raises(Invalid) as refusal:
            schema.check("kernel", value)
        assert refusal.value.message.startswith(
            "Provided object does not match schema 'image': the value of 'kernel' must"
        )
    schema.check("any", 7)
    for value in ([], {"a": 1}):
        with pytest.raises(Invalid) as refusal:
            schema.check("any", value)
        assert refusal.value.message == "'any' must be a string: properties hold no objects and no arrays."


def test_defaults_fill_nothing_in() -> None:
    """A value is checked, not changed."""
    schema = read({"a": {"type": "object", "properties": {"b": {"default": 1}}}})
    value: dict[str, Any] = {}
    with pytest.raises(Invalid):
        schema.check("a", value)
    assert value == {}


def test_required_properties() -> None:
    """New images have them, and old ones lose none; one that lacked some may stay without."""
    schema = read({"properties": {}, "required": ["a", "b"]})
    schema.check_new(["a", "b", "c"])
    for names, missing in ((["a"], "b"), (["b"], "a"), ([], "a")):
        with pytest.raises(Invalid) as refusal:
            schema.check_new(names)
        assert refusal.value.message == (
            f"Provided object does not match schema 'image': '{missing}' is a required property."
        )
    schema.check_kept(["a"], ["a"])
    schema.check_kept(["c"], [])
    schema.check_kept(["a", "b"], ["b", "a"])
    with pytest.raises(Invalid, match="'b' is a required property"):
        schema.check_kept(["a", "b"], ["a"])
