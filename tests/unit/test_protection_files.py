"""Property protections: how an operator's file is read, and what it lets whom do."""

import pytest

from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.domain.patch import Change
from tintype.errors import Conflict, Forbidden, OverLimit, StartError
from tintype.policy.engine import Policy
from tintype.policy.properties import Protections, read_protections

FILE = """\
[^open_]
create = @
read = @
update = @
delete = @
[^vendor_]
create = vendor
read = member, vendor
update = Vendor
delete = !
[secret]
create = vendor
read = vendor
update = vendor
delete = vendor
[os_glance_x]
create = nobody at all;
"""
LIMITS = Limits(disk_formats=(), container_formats=(), properties=4)


def caller(*roles: str, service_roles: tuple[str, ...] = ()) -> Caller:
    return Caller("u", "n", "p", frozenset(roles), service_roles=frozenset(service_roles))


MEMBER, VENDOR, STRANGER = caller("member"), caller("vendor"), caller()
IMAGE = Image("one", 0, 0, properties={"open_a": "1", "vendor_a": "2", "a_secret": "3", "other": "4"})


@pytest.fixture(scope="module")
def protections() -> Protections:
    return read_protections(FILE, "file", None)


@pytest.mark.parametrize(
    ("name", "operations", "who"),
    [
        ("open_a", "create read update delete", STRANGER),
        ("vendor_a", "read", MEMBER),
        ("vendor_a", "create read update", VENDOR),
        ("vendor_a", "create read update", caller(service_roles=("vendor",))),
        ("vendor_a", "", STRANGER),
        ("a_secret", "create read update delete", VENDOR),
        ("a_secret", "", MEMBER),
        ("vendor_secret", "create read update", VENDOR),  # the first section counts
        ("open_secret", "create read update delete", MEMBER),
        ("not_open_", "", VENDOR),  # what no section is found in is nobody's
        ("os_glance_x", "", VENDOR),
    ],
)
def test_what_a_role_may(protections: Protections, name: str, operations: str, who: Caller) -> None:
    allowed = [each for each in ("create", "read", "update", "delete") if protections.allows(each, name, who)]
    assert allowed == operations.split()


def test_what_is_shown(protections: Protections) -> None:
    """Properties that may be read; a filter on others finds nothing."""
    assert protections.visible(IMAGE, MEMBER).properties == {"open_a": "1", "vendor_a": "2"}
    assert protections.visible(IMAGE, VENDOR).properties == {"open_a": "1", "vendor_a": "2", "a_secret": "3"}
    assert protections.readable([("open_a", "x"), ("vendor_a", "y")], MEMBER)
    assert not protections.readable([("open_a", "x"), ("a_secret", "y")], MEMBER)
    assert protections.readable([], STRANGER)


def test_new_images(protections: Protections) -> None:
    protections.check_new(Image("one", 0, 0, properties={"open_a": "1"}), STRANGER)
    with pytest.raises(Forbidden) as refusal:
        protections.check_new(Image("one", 0, 0, properties={"open_a": "1", "vendor_a": "1"}), MEMBER)
    assert refusal.value.message == "Property 'vendor_a' is protected."
    wanted = {"open_b": "1", "vendor_b": "2", "vendor_a": "3", "other": "4"}
    assert protections.settable(IMAGE, wanted, VENDOR) == {"open_b": "1", "vendor_b": "2", "vendor_a": "3"}
    assert protections.settable(IMAGE, wanted, MEMBER) == {"open_b": "1"}


def test_creating_and_changing_are_two_things() -> None:
    """What is there is changed, what is not is created."""
    rules = "[a]\ncreate = maker\nread = @\nupdate = changer\ndelete = !\n"
    apart = read_protections(rules, "file", None)
    image = Image("one", 0, 0, properties={"a": "1"})
    maker, changer = caller("maker"), caller("changer")
    assert apart.settable(image, {"a": "2", "aa": "3"}, maker) == {"aa": "3"}
    assert apart.settable(image, {"a": "2", "aa": "3"}, changer) == {"a": "2"}
    assert apart.apply(image, [Change("add", "a", "2")], LIMITS, changer).properties == {"a": "2"}
    assert apart.apply(image, [Change("add", "aa", "2")], LIMITS, maker).properties == {"a": "1", "aa": "2"}
    for changes, who in (
        ([Change("replace", "a", "2")], maker),
        ([Change("add", "aa", "2")], changer),
        ([Change("add", "aa", "2"), Change("replace", "aa", "3")], maker),
        ([Change("remove", "a")], changer),
    ):
        with pytest.raises(Forbidden, match="is protected"):
            apart.apply(image, changes, LIMITS, who)


def patched(protections: Protections, who: Caller, *changes: Change) -> dict[str, str]:
    return protections.apply(IMAGE, changes, LIMITS, who).properties


def test_patches(protections: Protections) -> None:
    """What the caller may not read stays as it is; a change of it is refused, not revealed."""
    changed = patched(protections, MEMBER, Change("replace", "open_a", "5"))
    assert changed == IMAGE.properties | {"open_a": "5"}
    assert patched(protections, VENDOR, Change("remove", "a_secret")) == {
        name: value for name, value in IMAGE.properties.items() if name != "a_secret"
    }
    again = patched(protections, VENDOR, Change("remove", "a_secret"), Change("add", "a_secret", "9"))
    assert again == IMAGE.properties | {"a_secret": "9"}
    assert protections.apply(IMAGE, [Change("replace", "name", "n")], LIMITS, STRANGER).name == "n"
    for change in (
        Change("remove", "vendor_a"),
        Change("add", "a_secret", "x"),
        Change("add", "other", "x"),
    ):
        with pytest.raises(Forbidden) as refusal:
            patched(protections, MEMBER, change)
        assert refusal.value.message == f"Property '{change.name}' is protected."
    for op in ("remove", "replace"):
        for name in ("absent", "a_secret"):
            with pytest.raises(Conflict, match="does not exist"):
                patched(protections, MEMBER, Change(op, name, "x"))
    with pytest.raises(OverLimit):
        patched(protections, MEMBER, Change("add", "open_b", "x"))


POLICY = Policy({"vendors": "role:vendor", "all": "@"})


def test_names_of_rules_instead_of_roles() -> None:
    text = "[a]\ncreate = vendors\nread = all\nupdate =\ndelete = @\n"
    ruled = read_protections(text, "file", POLICY)
    assert [ruled.allows("create", "a", who) for who in (VENDOR, MEMBER)] == [True, False]
    assert ruled.allows("read", "a", MEMBER)
    assert not ruled.allows("update", "a", VENDOR)
    assert ruled.allows("delete", "a", STRANGER)


SECTION = "[a]\ncreate = x\nread = x\nupdate = x\ndelete = "


@pytest.mark.parametrize(
    ("text", "policy", "reason"),
    [
        ("", None, "it has no sections, so every property would be inaccessible"),
        ("create = x\n", None, "File contains no section headers"),
        (f"{SECTION}x\nmore = y\n", None, "[a] has 'more', which is not an operation"),
        ("[a]\ncreate = x\n", None, "No option 'read' in section: 'a'"),
        (f"{SECTION}x ; text\n", None, "'x ; text' is not a name; comments need a line of their own"),
        (f"{SECTION}@,!\n", None, "'@' and '!' exclude each other"),
        (SECTION.replace("[a]", "[(]") + "x\n", None, "missing ), unterminated subpattern"),
        ("[a]\ncreate = vendors,all\n", POLICY, "combine them in the policy file"),
        ("[a]\ncreate = none\n", POLICY, "there is no policy rule 'none'"),
    ],
)
def test_files_that_cannot_be_meant(text: str, policy: Policy | None, reason: str) -> None:
    """The start ends with the name of the file and what is wrong with it."""
    with pytest.raises(StartError) as refusal:
        read_protections(text, "the-file", policy)
    assert refusal.value.message.startswith("The property protections the-file cannot be read: ")
    assert reason in refusal.value.message
    assert "\n" not in refusal.value.message
