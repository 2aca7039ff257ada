"""Documents of metadata definitions: parsing, refusals, and output."""

from typing import Any

import pytest

from tintype.domain import metadef_documents as documents
from tintype.domain.metadef_documents import AssociationBody, NamespaceBody, ObjectBody, TagBody
from tintype.domain.metadefs import Association, Listing, Namespace, Object, Tag
from tintype.errors import Conflict, Forbidden, Invalid

TITLE = {"title": "T", "type": "string"}


def read(**values: Any) -> NamespaceBody:
    return documents.checked({"namespace": "OS::X", **values}, NamespaceBody)


def new(**values: Any) -> Namespace:
    return documents.new_namespace(read(**values), namespace_id="one", owner="alpha", now=7)


def test_the_least_that_is_written() -> None:
    """Private, unprotected, its writer's."""
    made = new()
    assert made == Namespace(id="one", namespace="OS::X", owner="alpha", created_at=7, updated_at=7)
    assert (made.visibility, made.protected) == ("private", False)


def test_all_that_is_written() -> None:
    made = new(
        display_name="X",
        description="d",
        visibility="public",
        protected=True,
        owner="beta",
        properties={"cores": TITLE},
        objects=[{"name": "o", "description": "e", "required": ["ram"], "properties": {"ram": TITLE}}],
        tags=[{"name": "t"}],
        resource_type_associations=[{"name": "T", "prefix": "p_", "properties_target": "image"}],
    )
    assert made == Namespace(
        id="one",
        namespace="OS::X",
        display_name="X",
        description="d",
        visibility="public",
        protected=True,
        owner="beta",
        created_at=7,
        updated_at=7,
        properties={"cores": TITLE},
        objects={"o": Object("o", 7, 7, "e", ("ram",), {"ram": TITLE})},
        tags={"t": Tag("t", 7, 7)},
        associations={"T": Association("T", 7, 7, "p_", "image")},
    )


@pytest.mark.parametrize("name", ["objects", "tags", "resource_type_associations"])
def test_what_stands_twice(name: str) -> None:
    with pytest.raises(Conflict) as refusal:
        new(**{name: [{"name": "x"}, {"name": "y"}, {"name": "x"}]})
    assert refusal.value.message == "'x' occurs twice in namespace=OS::X."


@pytest.mark.parametrize(
    "values",
    [
        {"namespace": ""},
        {"namespace": "x" * 81},
        {"namespace": "a\n"},
        {"display_name": "x" * 81},
        {"display_name": "a\0"},
        {"description": "x" * 501},
        {"visibility": "shared"},
        {"protected": "yes"},
        {"owner": "x" * 256},
        {"more": 1},
        {"properties": {"": TITLE}},
        {"properties": {"a": {"title": "T"}}},
        {"properties": {"a": {"title": "T", "type": "text"}}},
        {"properties": {"a": {**TITLE, "more": 1}}},
        {"properties": {"a": {**TITLE, "minLength": -1}}},
        {"properties": {"a": {**TITLE, "maxLength": 1.5}}},
        {"objects": [{"name": "o", "properties": {"a": {"title": "T"}}}]},
        {"tags": ["t"]},
    ],
)
def test_what_cannot_be_written(values: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(**values)


def test_lengths_with_a_fraction_of_zero_are_integers() -> None:
    lengths = {"minLength": 1, "maxLength": 5, "minItems": 2, "maxItems": 3}
    written = {name: float(length) for name, length in lengths.items()}
    found = read(properties={"a": {**TITLE, **written}}).properties["a"]
    assert found == {**TITLE, **lengths}
    assert {type(found[name]) for name in lengths} == {int}
    name, found = documents.checked_property({"name": "a", **TITLE, **written})
    assert (name, found) == ("a", {"name": "a", **TITLE, **lengths})


def test_a_property_by_itself() -> None:
    """It says its name; `confidential` is for those inside namespaces."""
    assert documents.checked_property({"name": "a", **TITLE}) == ("a", {"name": "a", **TITLE})
    wrong: Any
    for wrong in (None, [], TITLE, {"name": "a"}, {"name": "", **TITLE}, {"name": "a", **TITLE, "x": 1}):
        with pytest.raises(Invalid):
            documents.checked_property(wrong)
    with pytest.raises(Invalid) as refusal:
        documents.checked_property({"name": "a", **TITLE, "confidential": True})
    assert refusal.value.message == "Object contains unknown field `confidential`."
    with pytest.raises(Forbidden, match="Attribute 'self' is read-only"):
        documents.checked_property({"name": "a", **TITLE, "self": "x"})
    with pytest.raises(Invalid, match=r"^Property 'a': "):
        documents.checked_property({"name": "a", "title": "T"})


def nested(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"deep": value}
    return value


def test_depth() -> None:
    """32 levels with the body itself, through arrays and objects alike."""
    documents.checked_property({"name": "a", **TITLE, "default": nested(31)})
    read(properties={"a": {**TITLE, "default": nested(29)}})
    for written in (
        lambda: documents.checked_property({"name": "a", **TITLE, "default": nested(32)}),
        lambda: read(properties={"a": {**TITLE, "default": nested(30)}}),
    ):
        with pytest.raises(Invalid) as refusal:
            written()
        assert refusal.value.message == "The JSON is nested deeper than 32 levels."


def test_a_property_is_required_once() -> None:
    with pytest.raises(Invalid) as refusal:
        read(objects=[{"name": "o", "required": ["a", "a"]}])
    assert refusal.value.message == "Object 'o' names a required property twice."
    with pytest.raises(Invalid, match="names a required property twice"):
        documents.checked({"name": "o", "required": ["a", "b", "a"]}, ObjectBody)
    assert documents.checked({"name": "o", "required": ["a", "b"]}, ObjectBody).required == ["a", "b"]
    assert documents.checked({"name": "t"}, TagBody).name == "t"


def test_what_is_not_said_again() -> None:
    """Describing resets what is not said; filling keeps it as it was."""
    old = new(display_name="X", visibility="public", protected=True, tags=[{"name": "t"}])
    said = documents.described(old, read(description="d"), owner="gamma", now=9)
    assert (said.display_name, said.description, said.visibility) == (None, "d", "private")
    assert (said.protected, said.owner, said.updated_at, said.created_at) == (False, "gamma", 9, 7)
    assert said.tags == old.tags
    kept = documents.filled(new(), read(), old)
    assert (kept.visibility, kept.protected) == ("public", True)
    told = documents.filled(new(), read(visibility="private", protected=False), old)
    assert (told.visibility, told.protected) == ("private", False)


def test_single_parts() -> None:
    made = documents.new_object(ObjectBody("o", required=["a"], properties={"a": TITLE}), 7)
    assert made == Object("o", 7, 7, None, ("a",), {"a": TITLE})
    assert documents.new_association(AssociationBody("T"), 7) == Association("T", 7, 7)


def test_a_file_comes_back() -> None:
    """What is written of a namespace is read as the same; Glance's form with nulls and times, too."""
    whole = new(
        display_name="X",
        properties={"cores": TITLE},
        objects=[{"name": "o", "description": "e", "properties": {"ram": TITLE}}, {"name": "p"}],
        tags=[{"name": "t"}],
        resource_type_associations=[{"name": "T", "prefix": "p_"}, {"name": "U"}],
    )
    written = documents.document(whole)
    assert written == {
        "namespace": "OS::X",
        "display_name": "X",
        "visibility": "private",
        "protected": False,
        "owner": "alpha",
        "properties": {"cores": TITLE},
        "objects": [
            {"name": "o", "description": "e", "required": [], "properties": {"ram": TITLE}},
            {"name": "p", "required": [], "properties": {}},
        ],
        "tags": [{"name": "t"}],
        "resource_type_associations": [{"name": "T", "prefix": "p_"}, {"name": "U"}],
    }
    again = documents.new_namespace(documents.from_file(written), namespace_id="one", owner="alpha", now=7)
    assert again == whole
    times = {"created_at": "1", "updated_at": "2"}
    shown = written | {"description": None, "self": "/x", "schema": "/y"} | times
    shown["objects"] = [each | {"self": "/o"} | times for each in written["objects"]]
    association = {"name": "T", "prefix": "p_", "properties_target": None}
    shown["resource_type_associations"] = [association | times, {"name": "U"}]
    assert documents.from_file(shown) == documents.from_file(written)
    assert documents.document(new(owner="admin")).get("owner") is None
    wrong: Any
    for wrong in (None, [], "x", {"namespace": "x", "objects": [7]}):
        with pytest.raises(Invalid):
            documents.from_file(wrong)


def test_documents_are_told_apart() -> None:
    """By all that is in them, not by its order."""
    one = new(tags=[{"name": "a"}, {"name": "b"}], objects=[{"name": "o"}, {"name": "p"}])
    other = new(tags=[{"name": "b"}, {"name": "a"}], objects=[{"name": "p"}, {"name": "o"}])
    assert documents.digest(one) == documents.digest(other)
    associations = [{"name": "T"}, {"name": "U"}]
    assert documents.digest(new(resource_type_associations=associations)) == documents.digest(
        new(resource_type_associations=associations[::-1])
    )
    different = [new(), new(tags=[{"name": "a"}]), new(display_name="X"), new(objects=[{"name": "o"}])]
    different += [new(resource_type_associations=[{"name": "T"}])]
    different += [new(resource_type_associations=[{"name": "T", "prefix": "p_"}])]
    assert len({documents.digest(each) for each in different}) == len(different)
    assert len(documents.digest(one)) == 64


def test_what_only_the_service_says() -> None:
    for name in ("self", "schema", "created_at", "updated_at"):
        with pytest.raises(Forbidden):
            read(**{name: "x"})


KEYS = ("namespace", "created_at")


def test_requests_for_pages() -> None:
    assert documents.listing({}, KEYS) == Listing(None)
    asked = {"limit": "5", "marker": "m", "sort_key": "namespace", "sort_dir": "asc", "visibility": "public"}
    assert documents.listing(asked | {"resource_types": "T,U,T"}, KEYS) == Listing(
        5, "m", "namespace", True, "public", ("T", "U")
    )
    assert documents.listing({"limit": "", "visibility": ""}, KEYS) == Listing(None, visibility="")
    assert documents.listing({"limit": "9999999999"}, KEYS).limit == 2**31 - 1
    assert documents.listing({"resource_types": ""}, KEYS).resource_types == ("",)
    many = ",".join(map(str, range(1000)))
    assert len(documents.listing({"resource_types": many}, KEYS).resource_types or ()) == 1000
    for wrong, message in (
        ({"sort_dir": "up"}, "Invalid sort direction: up"),
        ({"sort_key": "id"}, "Invalid sort key: id"),
        ({"visibility": "shared"}, "Invalid visibility value: shared"),
        ({"limit": "-1"}, "limit param must be positive"),
        ({"limit": "x"}, "limit param must be an integer"),
        ({"resource_types": f"{many},x"}, "At most 1000 resource types can be requested."),
    ):
        with pytest.raises(Invalid) as refusal:
            documents.listing(wrong, KEYS)
        assert refusal.value.message == message
