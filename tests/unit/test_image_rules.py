"""What an image is: its attributes and their values, who sees it, and what rules may ask of it."""

from typing import Any

import msgspec
import pytest

from tintype.domain import images
from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.domain.property_schema import PropertySchema
from tintype.errors import Forbidden, Invalid, OverLimit

LIMITS = Limits(disk_formats=("raw", "qcow2"), container_formats=("bare",), properties=2, tags=2)
ID = "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"
IMAGE = Image(ID, 1, 2, owner="alpha")


def new(limits: Limits = LIMITS, **attributes: Any) -> Image:
    return images.new_image(attributes, image_id=ID, owner="alpha", now=7, limits=limits)


def test_a_new_image_has_defaults() -> None:
    """Queued, shared, its caller's, made now."""
    made = new()
    assert made == Image(ID, 7, 7, owner="alpha")
    assert (made.status, made.visibility, made.protected, made.os_hidden) == (
        "queued",
        "shared",
        False,
        False,
    )
    assert (made.min_disk, made.min_ram, made.version) == (0, 0, 1)


def test_a_new_image_has_what_was_asked_for() -> None:
    """Attributes as attributes, the rest as properties; an id in small letters, tags once each in order."""
    made = new(
        id=ID.upper(),
        owner="beta",
        name="n",
        visibility="private",
        protected=True,
        os_hidden=True,
        disk_format="raw",
        container_format="bare",
        min_disk=1,
        min_ram=2.0,
        tags=["b", "a", "b"],
        os_distro="debian",
    )
    assert made == Image(
        ID,
        7,
        7,
        name="n",
        owner="beta",
        visibility="private",
        protected=True,
        os_hidden=True,
        disk_format="raw",
        container_format="bare",
        min_disk=1,
        min_ram=2,
        tags=("a", "b"),
        properties={"os_distro": "debian"},
    )
    assert type(made.min_ram) is int


@pytest.mark.parametrize("name", sorted(images.READ_ONLY - {"id"}))
def test_attributes_of_the_service(name: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        new(**dict[str, Any]({name: "x"}))
    assert refusal.value.message == f"Attribute '{name}' is read-only."


@pytest.mark.parametrize(
    "name", ["location", "locations", "deleted", "deleted_at", "os_glance", "os_glance_x"]
)
def test_reserved_attributes(name: str) -> None:
    assert {"location", "locations", "deleted", "deleted_at"} == images.RESERVED
    with pytest.raises(Forbidden) as refusal:
        new(**dict[str, Any]({name: "x"}))
    assert refusal.value.message == f"Attribute '{name}' is reserved."
    images.check_settable("my_os_glance")


def test_read_only_names_are_those_of_the_service() -> None:
    assert {
        *("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"),
        *("created_at", "updated_at", "direct_url", "self", "file", "schema", "stores"),
    } == images.READ_ONLY
    assert (
        images.READ_ONLY
        | {
            *("name", "owner", "visibility", "protected", "os_hidden", "disk_format", "container_format"),
            *("min_disk", "min_ram", "tags"),
        }
        == images.BASE_ATTRIBUTES
    )


VALUES: list[tuple[str, Any, str]] = [
    *(
        ("id", wrong, f"'id' must be a UUID such as {ID}.")
        for wrong in (None, 7, "", "x", ID[1:], f"{ID}0", f"{ID}\n", ID.replace("6", "g"))
    ),
    *(
        (name, wrong, f"'{name}' must be a string, not {kind}.")
        for name in ("name", "owner")
        for wrong, kind in (
            (7, "a number"),
            (1.5, "a number"),
            (True, "a boolean"),
            ([], "an array"),
            ({}, "an object"),
        )
    ),
    ("name", "x" * 256, "'name' is too long: 256 characters, 255 are allowed."),
    ("name", "a\0", "'name' must not contain a NUL character."),
    ("name", "\ud800", "'name' is not valid Unicode: it has an unpaired surrogate."),
    *(
        (name, wrong, f"'{name}' must be true or false, not {kind}.")
        for name in ("protected", "os_hidden")
        for wrong, kind in ((None, "null"), ("true", "a string"), (1, "a number"))
    ),
    *(
        (name, wrong, f"'{name}' must be an integer, not {kind}.")
        for name in ("min_disk", "min_ram")
        for wrong, kind in ((None, "null"), ("1", "a string"), (True, "a boolean"), (1.5, "a number"))
    ),
    *(
        (
            name,
            wrong,
            f"Invalid value '{wrong}' for parameter '{name}': it must be 0 to 2147483647.",
        )
        for name in ("min_disk", "min_ram")
        for wrong in (-1, 2**31, -1.0)
    ),
    *(
        ("visibility", wrong, "'visibility' must be one of: community, public, private, shared.")
        for wrong in (None, "all", "Public", 0, False)
    ),
    *(
        ("disk_format", wrong, "'disk_format' must be one of: null, raw, qcow2.")
        for wrong in ("vmdk", "", 0, False)
    ),
    ("container_format", "ovf", "'container_format' must be one of: null, bare."),
    ("tags", None, "'tags' must be an array of strings, not null."),
    ("tags", "a", "'tags' must be an array of strings, not a string."),
    ("tags", [7], "'tag' must be a string, not a number."),
    ("tags", ["x" * 256], "'tag' is too long: 256 characters, 255 are allowed."),
    ("tags", ["a\0"], "'tag' must not contain a NUL character."),
    ("", "x", "A property's name must have 1 to 255 characters."),
    ("p" * 256, "x", "A property's name must have 1 to 255 characters."),
    ("p\0", "x", "Property name must not contain a NUL character."),
    ("p\ud800", "x", "Property name is not valid Unicode: it has an unpaired surrogate."),
    ("p", 7, "'p' must be a string, not a number."),
    ("p", None, "'p' must be a string, not null."),
    ("p", "x" * 65536, "'p' is too long: 65536 characters, 65535 are allowed."),
]


@pytest.mark.parametrize(("name", "value", "message"), VALUES, ids=lambda value: repr(value)[:20])
def test_values_that_cannot_be(name: str, value: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        images.checked_value(name, value, LIMITS)
    assert refusal.value.message == message


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("id", ID.upper(), ID.upper()),
        ("name", None, None),
        ("name", "", ""),
        ("name", "x" * 255, "x" * 255),
        ("owner", None, None),
        ("protected", False, False),
        ("min_disk", 0, 0),
        ("min_ram", 2**31 - 1, 2**31 - 1),
        ("min_ram", 7.0, 7),
        ("visibility", "community", "community"),
        ("disk_format", None, None),
        ("container_format", None, None),
        ("tags", ["x" * 255, "a"], ["x" * 255, "a"]),
        ("p" * 255, "x" * 65535, "x" * 65535),
        ("p", "", ""),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_that_can_be(name: str, value: Any, stored: Any) -> None:
    """To the last that is allowed."""
    found = images.checked_value(name, value, LIMITS)
    assert (found, type(found)) == (stored, type(stored))


def test_an_operators_schema_has_a_say() -> None:
    """Numbers are stored as text, null is no value, and what is required must be there."""
    schema = PropertySchema(
        {"cores": {"type": ["integer", "null"]}, "kind": {"type": "string", "enum": ["a"]}}, ["kind"]
    )
    limits = msgspec.structs.replace(LIMITS, schema=schema)
    assert images.checked_value("cores", 7, limits) == "7"
    assert images.checked_value("cores", None, limits) is None
    assert images.checked_value("other", "x", limits) == "x"
    with pytest.raises(Invalid, match="the value of 'cores'"):
        images.checked_value("cores", "many", limits)
    assert new(limits, kind="a", cores=None).properties == {"kind": "a"}
    with pytest.raises(Invalid, match="'kind' is a required property"):
        new(limits)


def test_how_much_an_image_may_hold() -> None:
    """Properties by number and size, tags by number once each."""
    assert len(new(a="1", b="2").properties) == 2
    with pytest.raises(OverLimit) as refusal:
        new(a="1", b="2", c="3")
    assert refusal.value.message == "Maximum number of properties is 2; the image would have 3."
    assert new(tags=["a", "b", "a"]).tags == ("a", "b")
    with pytest.raises(OverLimit) as refusal:
        new(tags=["a", "b", "c"])
    assert refusal.value.message == "Maximum number of tags is 2; the image would have 3."
    small = msgspec.structs.replace(LIMITS, property_bytes=10)
    assert new(small, ab="1234", c="ü1").properties
    with pytest.raises(OverLimit) as refusal:
        new(small, ab="1234", c="ü12")
    assert refusal.value.message == "Properties may have 10 bytes in all; the image would have 11."
    assert images.checked_tags((), LIMITS) == ()


@pytest.mark.parametrize(
    ("owner", "visibility", "member", "project", "admin", "seen"),
    [
        ("alpha", "private", None, "alpha", False, True),
        ("alpha", "private", None, "beta", False, False),
        ("alpha", "private", None, "beta", True, True),
        ("alpha", "private", "beta", "beta", False, False),
        ("alpha", "shared", None, "beta", False, False),
        ("alpha", "shared", "beta", "beta", False, True),
        ("alpha", "public", None, "beta", False, True),
        ("alpha", "community", None, "beta", False, True),
        (None, "private", None, "beta", False, True),
        ("alpha", "private", None, None, False, False),
    ],
)
def test_who_sees_an_image(
    owner: str | None, visibility: str, member: str | None, project: str | None, admin: bool, seen: bool
) -> None:
    """Its owner, admins, its members where it is shared, and everybody where it is open."""
    image = msgspec.structs.replace(IMAGE, owner=owner, visibility=visibility, member_id=member)
    assert images.visible(image, Caller("u", "n", project, is_admin=admin)) is seen


@pytest.mark.parametrize(
    ("owner", "project", "admin", "may"),
    [
        ("alpha", "alpha", False, True),
        ("alpha", "beta", False, False),
        ("alpha", "beta", True, True),
        (None, None, False, False),
        (None, "alpha", False, False),
        (None, "alpha", True, True),
    ],
)
def test_who_changes_an_image(owner: str | None, project: str | None, admin: bool, may: bool) -> None:
    caller = Caller("u", "n", project, is_admin=admin)
    image = msgspec.structs.replace(IMAGE, owner=owner)
    if may:
        images.check_changeable_by(caller, image)
    else:
        with pytest.raises(Forbidden) as refusal:
            images.check_changeable_by(caller, image)
        assert refusal.value.message == "You do not own this image"


def test_what_is_protected_stays() -> None:
    images.check_deletable(IMAGE)
    with pytest.raises(Forbidden) as refusal:
        images.check_deletable(msgspec.structs.replace(IMAGE, protected=True))
    assert refusal.value.message == f"Image {ID} is protected and cannot be deleted."


def test_a_signature_needs_all_its_properties() -> None:
    whole = dict.fromkeys(images.SIGNATURE, "x")
    assert images.is_signed(whole)
    assert len(whole) == 4
    for name in whole:
        assert not images.is_signed({other: "x" for other in whole if other != name})


def test_digests_are_known_whole_or_not_at_all() -> None:
    assert msgspec.structs.replace(IMAGE, os_hash_algo="sha512", os_hash_value="ab").digests == {
        "sha512": "ab"
    }
    for algorithm, value in ((None, None), ("sha512", None), (None, "ab"), ("", "ab"), ("sha512", "")):
        assert msgspec.structs.replace(IMAGE, os_hash_algo=algorithm, os_hash_value=value).digests == {}


def test_what_policy_rules_may_ask() -> None:
    """Attributes win over properties of their names; of a member only where the image is shared."""
    image = msgspec.structs.replace(
        IMAGE,
        name="n",
        disk_format="raw",
        container_format="bare",
        member_id="beta",
        properties={"os_distro": "debian", "tenant": "forged"},
    )
    target = {
        "os_distro": "debian",
        **dict.fromkeys(("project_id", "owner", "tenant"), "alpha"),
        "visibility": "shared",
        "member_id": "beta",
        **dict.fromkeys(("id", "image_id"), ID),
        "name": "n",
        "status": "queued",
        "protected": False,
        "os_hidden": False,
        "disk_format": "raw",
        "container_format": "bare",
    }
    assert image.target() == target
    private = msgspec.structs.replace(image, visibility="private")
    assert private.target() == target | {"visibility": "private", "member_id": None}
