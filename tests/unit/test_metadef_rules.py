"""Metadata definitions: contents and changes of a namespace, and property names per resource type."""

from typing import Any

import msgspec
import pytest

from tintype.domain import metadefs
from tintype.domain.callers import Caller
from tintype.domain.metadefs import Association, Listing, Namespace, Object, Tag
from tintype.errors import Conflict, Forbidden, NotFound

HELD = {"a": 1, "b": 2, "c": 3}


def namespace(**values: Any) -> Namespace:
    known: dict[str, Any] = {"id": "one", "namespace": "OS::X", "created_at": 0, "updated_at": 0}
    return Namespace(**known | values)


@pytest.mark.parametrize(
    ("owner", "visibility", "project", "admin", "seen"),
    [
        ("alpha", "private", "alpha", False, True),
        ("alpha", "private", "beta", False, False),
        ("alpha", "private", "beta", True, True),
        ("alpha", "public", "beta", False, True),
        (None, "private", "beta", False, True),
        ("alpha", "private", None, False, False),
    ],
)
def test_who_sees_a_namespace(
    owner: str | None, visibility: str, project: str | None, admin: bool, seen: bool
) -> None:
    one = namespace(owner=owner, visibility=visibility)
    assert metadefs.visible(one, Caller("u", "n", project, is_admin=admin)) is seen
    assert one.target() == {"project_id": owner, "visibility": visibility}


def test_a_protected_namespace_stays() -> None:
    metadefs.check_unprotected(namespace())
    with pytest.raises(Forbidden) as refusal:
        metadefs.check_unprotected(namespace(protected=True))
    assert refusal.value.message == "Metadata definition namespace OS::X is protected."


def test_one_more() -> None:
    """At the end; a name is there once."""
    assert list(metadefs.added(HELD, "d", 4).items()) == [*HELD.items(), ("d", 4)]
    with pytest.raises(Conflict) as refusal:
        metadefs.added(HELD, "a", 4)
    assert refusal.value.message == "'a' already exists in this namespace."


def test_another_in_its_place() -> None:
    """Also under another name, unless that is taken."""
    assert list(metadefs.replaced(HELD, "b", "b", 9).items()) == [("a", 1), ("b", 9), ("c", 3)]
    assert list(metadefs.replaced(HELD, "b", "x", 9).items()) == [("a", 1), ("x", 9), ("c", 3)]
    with pytest.raises(Conflict) as refusal:
        metadefs.replaced(HELD, "b", "a", 9)
    assert refusal.value.message == "'a' already exists in this namespace."
    with pytest.raises(NotFound) as missing:
        metadefs.replaced(HELD, "x", "y", 9)
    assert missing.value.message == "'x' was not found in this namespace."


def test_one_less() -> None:
    assert metadefs.without(HELD, "b") == {"a": 1, "c": 3}
    assert metadefs.get(HELD, "b") == 2
    for verb in (metadefs.without, metadefs.get):
        with pytest.raises(NotFound, match="'x' was not found in this namespace"):
            verb(HELD, "x")


def test_an_association_keeps_its_age_where_nothing_changes() -> None:
    before = Association("T", 1, 1, "p_", "t")
    assert metadefs.with_kept_times(before, Association("T", 2, 2, "p_", "t")) is before
    for after in (Association("T", 2, 2, "q_", "t"), Association("T", 2, 2, "p_", "u")):
        assert metadefs.with_kept_times(before, after) is after
        assert metadefs.with_kept_times(None, after) is after


TAGS = {name: Tag(name, created, 0) for name, created in (("b", 1), ("a", 2), ("c", 2))}


@pytest.mark.parametrize(
    ("listing", "names"),
    [
        (Listing(None), "cab"),
        (Listing(None, ascending=True), "bac"),
        (Listing(None, sort_key="name"), "cba"),
        (Listing(None, sort_key="name", ascending=True), "abc"),
        (Listing(2), "ca"),
        (Listing(0), ""),
        (Listing(None, marker="a"), "b"),
        (Listing(1, marker="c"), "a"),
        (Listing(None, marker="b"), ""),
    ],
)
def test_pages_of_tags(listing: Listing, names: str) -> None:
    """Of one age the last ones count as the youngest."""
    assert "".join(tag.name for tag in metadefs.tag_page(TAGS, listing)) == names


def test_a_marker_that_is_gone() -> None:
    with pytest.raises(NotFound):
        metadefs.tag_page(TAGS, Listing(None, marker="x"))


def test_two_namespaces_become_one() -> None:
    """What only one has is kept; what both have is as the preferred one has it."""
    tags = {"old": Tag("old", 1, 1), "both": Tag("both", 1, 1)}
    old = namespace(
        display_name="Old",
        visibility="public",
        protected=True,
        properties={"a": {"title": "old"}, "b": {"title": "old"}},
        tags=tags,
        associations={"T": Association("T", 1, 1)},
    )
    more = {"new": Tag("new", 2, 2), "both": Tag("both", 2, 2)}
    new = namespace(
        id="two",
        description="New",
        properties={"b": {"title": "new"}, "c": {"title": "new"}},
        objects={"o": Object("o", 2, 2)},
        tags=more,
    )
    kept = metadefs.merged(old, new, prefer_new=False)
    assert kept.properties == {"a": {"title": "old"}, "b": {"title": "old"}, "c": {"title": "new"}}
    assert list(kept.properties) == ["a", "b", "c"]
    assert (kept.display_name, kept.description) == ("Old", "New")
    assert (kept.id, kept.visibility, kept.protected) == ("one", "public", True)
    assert kept.tags == {**more, **tags}
    assert (kept.objects, kept.associations) == (new.objects, old.associations)
    taken = metadefs.merged(old, new, prefer_new=True)
    assert taken.properties == {"a": {"title": "old"}, "b": {"title": "new"}, "c": {"title": "new"}}
    assert (taken.display_name, taken.description) == ("Old", "New")
    assert (taken.id, taken.visibility, taken.protected) == ("one", "private", False)
    assert taken.tags == {**tags, **more}
    both = metadefs.merged(old, msgspec.structs.replace(new, display_name="New"), prefer_new=True)
    assert both.display_name == "New"


ASSOCIATED = namespace(
    properties={"cores": {"title": "c"}},
    objects={"o": Object("o", 1, 1, required=("ram",), properties={"ram": {"title": "r"}})},
    associations={"T": Association("T", 1, 1, "hw_"), "U": Association("U", 1, 1)},
)


def test_names_on_a_type_of_resource() -> None:
    """They have the prefix of the association, also inside objects."""
    on_t = metadefs.prefixed(ASSOCIATED, "T")
    assert on_t.properties == {"hw_cores": {"title": "c"}}
    assert on_t.objects == {
        "o": Object("o", 1, 1, required=("hw_ram",), properties={"hw_ram": {"title": "r"}})
    }
    for resource_type in ("U", "V", None, ""):
        assert metadefs.prefixed(ASSOCIATED, resource_type) is ASSOCIATED


def test_names_in_a_namespace() -> None:
    """Without the prefix, which the name must have."""
    assert metadefs.unprefixed(ASSOCIATED, "T", "hw_cores") == "cores"
    for resource_type, name, message in (
        ("V", "hw_cores", "'V' was not found in this namespace."),
        ("U", "cores", "Properties have no prefix on resource type U."),
        (
            "T",
            "cores",
            "Property cores does not begin with the prefix of resource type T: 'hw_'.",
        ),
    ):
        with pytest.raises(NotFound) as refusal:
            metadefs.unprefixed(ASSOCIATED, resource_type, name)
        assert refusal.value.message == message
