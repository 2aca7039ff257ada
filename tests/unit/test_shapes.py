"""How Horizon's pages write and read images: pure, rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tintype.dashboard import shapes
from tintype.domain.patch import Change
from tintype.errors import Invalid
from tintype.settings import ImageSettings

LIMITS = ImageSettings().limits(None)
VIEW = {
    "id": "1",
    "name": "a",
    "visibility": "public",
    "size": None,
    "status": "queued",
    "disk_format": "raw",
    "container_format": "bare",
    "checksum": None,
    "protected": False,
    "min_ram": 0,
    "min_disk": 0,
    "owner": "p",
    "created_at": "t",
    "updated_at": "t",
    "tags": ["x"],
    "virtual_size": None,
    "os_hidden": False,
    "self": "/v2/images/1",
    "file": "/v2/images/1/file",
    "schema": "/v2/schemas/image",
    "os_distro": "debian",
    "kernel_id": "k",
}


def test_an_image_has_its_properties_apart() -> None:
    """What Horizon does not know is a property; the file, tags and the like show only where asked alone."""
    shown = shapes.image_view(VIEW)
    assert (shown["size"], shown["is_public"]) == (0, True)
    assert shown["properties"] == {"os_hidden": False, "os_distro": "debian"}
    assert shown["architecture"] is None
    alone = shapes.image_view({**VIEW, "architecture": "x86_64"}, alone=True)
    assert alone["architecture"] == "x86_64"
    assert alone["properties"] == {
        **shown["properties"],
        "kernel_id": "k",
        "tags": ["x"],
        "virtual_size": None,
        "file": VIEW["file"],
        "schema": VIEW["schema"],
    }


DEFAULTS = {
    "protected": False,
    "disk_format": "raw",
    "container_format": "bare",
    "min_disk": 0,
    "min_ram": 0,
    "name": "",
    "visibility": "private",
}


def test_what_is_not_said_has_a_default() -> None:
    """Horizon's `create_image_metadata`, on a change too."""
    assert shapes.metadata({"min_disk": None, "min_ram": ""}) == DEFAULTS


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({"disk_format": "ami"}, ("ami", "ami")),
        ({"disk_format": "aki"}, ("aki", "aki")),
        ({"disk_format": "ari"}, ("ari", "ari")),
        ({"disk_format": "docker"}, ("raw", "docker")),
        ({"disk_format": "vhd"}, ("vhd", "ovf")),
        ({"disk_format": "ova"}, ("vmdk", "ova")),
        ({"disk_format": "qcow2"}, ("qcow2", "bare")),
        ({"disk_format": "vmdk", "container_format": "ovf"}, ("vmdk", "ovf")),
    ],
)
def test_a_disk_format_decides_the_container(said: dict[str, str], made: tuple[str, str]) -> None:
    """What a page calls a format is two of the image API's."""
    found = shapes.metadata(said)
    assert (found["disk_format"], found["container_format"]) == made


def test_words_of_pages_become_properties() -> None:
    """Kernel and ramdisk are ids of images; what nobody knows is custom; what Horizon drops is dropped."""
    found = shapes.metadata(
        {
            "kernel": "k",
            "ramdisk": "r",
            "description": "d",
            "architecture": "x86_64",
            "hw_disk_bus": "scsi",
            "is_public": True,
            "source_type": "url",
            "image_url": "http://x",
            "import_data": True,
            "data": "f",
            "size": 1,
            "owner": "me",
            "tags": ["a"],
            "properties": {"a": "b"},
        }
    )
    assert found == {
        **DEFAULTS,
        "kernel_id": "k",
        "ramdisk_id": "r",
        "description": "d",
        "architecture": "x86_64",
        "hw_disk_bus": "scsi",
    }


@pytest.mark.parametrize("wrong", ["secret", "", None, 1, ["public"]])
def test_a_visibility_that_is_none_is_refused_in_horizons_words(wrong: object) -> None:
    """`invalid visibility option`."""
    with pytest.raises(Invalid, match="invalid visibility option"):
        shapes.metadata({"visibility": wrong})


def test_a_query_string_has_python_values_keywords_and_filters() -> None:
    """`None`, `True`, `False`; the words for paging apart; older names of filters."""
    asked = shapes.parse_list_query(
        [
            ("paginate", "True"),
            ("marker", "m"),
            ("sort_dir", "asc"),
            ("sort_key", "name"),
            ("resource_type", "OS::Glance::Image"),
            ("is_public", "False"),
            ("property-owner_id", "p"),
            ("protected", "True"),
            ("search", " deb "),
        ]
    )
    assert asked == shapes.ListQuery(
        {"visibility": "private", "owner": "p", "protected": "true"},
        paginate=True,
        marker="m",
        sort_key="name",
        descending=False,
        resource_type="OS::Glance::Image",
        search="deb",
    )
    assert shapes.parse_list_query([("is_public", "None")]).filters == {}
    assert shapes.parse_list_query([("is_public", "True")]).filters == {"visibility": "public"}
    for no in ("False", "false", "0", "", "None"):
        assert not shapes.parse_list_query([("paginate", no)]).paginate
    assert shapes.parse_list_query([("name", "None")]).filters == {"name": "None"}
    for wrong in (("sort_dir", "up"), ("is_public", "yes")):
        with pytest.raises(Invalid):
            shapes.parse_list_query([wrong])


def test_more_and_before() -> None:
    """The table of Horizon: one more item than the page was asked for."""
    table = {
        # (marker, backward, found): (has_more_data, has_prev_data), for pages of 2
        (None, False, 3): (True, False),
        (None, False, 2): (False, False),
        ("m", False, 3): (True, True),
        ("m", False, 2): (False, True),
        ("m", True, 3): (True, True),
        ("m", True, 2): (True, False),
    }
    for (marker, backward, found), expected in table.items():
        asked = shapes.ListQuery({}, paginate=True, marker=marker, backward=backward)
        assert tuple(shapes.more(found, 2, asked).values()) == expected, (marker, backward, found)
    assert set(shapes.more(9, 2, shapes.ListQuery({})).values()) == {False}


@given(st.text())
def test_a_cookie_gives_a_page_size_whatever_is_in_it(text: str) -> None:
    """From 1 to 1000, 20 where it says nothing."""
    assert 1 <= shapes.page_size(text) <= 1000


def test_page_sizes() -> None:
    """As they are asked for."""
    assert [shapes.page_size(text) for text in (None, "7", "0", "5000", "-1", "²")] == [
        20,
        7,
        1,
        1000,
        20,
        20,
    ]


def test_a_patch_says_only_what_changes() -> None:
    """Equal values are not sent, so what may not change any more may be said again."""
    wanted = {"disk_format": "raw", "name": "b", "a/b~c": "1"}
    assert shapes.changes(VIEW, wanted, ["os_distro", "nothing", 5], LIMITS) == [
        Change("replace", "name", "b"),
        Change("add", "a/b~c", "1"),
        Change("remove", "os_distro"),
    ]
    assert shapes.changes(VIEW, {"os_distro": "x"}, ["os_distro"], LIMITS) == [
        Change("replace", "os_distro", "x")
    ]
