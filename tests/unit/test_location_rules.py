"""Locations as they are asked for, and the images that may have one."""

from typing import Any

import pytest

from tintype.domain import locations
from tintype.domain.images import Image
from tintype.domain.locations import Location
from tintype.errors import Conflict, Invalid

URL = "https://example.org/disk"
SHA256, MD5 = "0a" * 32, "0b" * 16


def test_a_url_alone() -> None:
    assert locations.parse({"url": URL}) == Location(URL, {}, None, None, None)
    assert locations.parse({"url": URL, "metadata": None}) == Location(URL)
    assert locations.parse({"url": URL, "metadata": {"store": "web"}}) == Location(URL, {"store": "web"})
    assert locations.parse({"url": URL, "validation_data": {}}) == Location(URL)
    assert locations.parse({"url": "x" * 8192}).url == "x" * 8192
    assert locations.parse({"url": "x"}).url == "x"


def test_digests_are_in_small_letters() -> None:
    """With the checksum or without."""
    known = {"os_hash_algo": "sha256", "os_hash_value": SHA256.upper()}
    found = locations.parse({"url": URL, "validation_data": known})
    assert found == Location(URL, {}, None, "sha256", SHA256)
    found = locations.parse({"url": URL, "validation_data": known | {"checksum": MD5.upper()}})
    assert found == Location(URL, {}, MD5, "sha256", SHA256)


FORM = 'A location is written like: {"url": "https://…"}'
NEEDS = "validation_data needs both os_hash_algo and os_hash_value, as strings."
HAS = "validation_data has os_hash_algo, os_hash_value and perhaps checksum."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *((wrong, FORM) for wrong in list[Any]((None, [], URL, {}, {"url": None}, {"url": 7}))),
        ({"url": URL, "b": 1, "a": 1}, "A location has no 'a'."),
        ({"url": ""}, "The URL of a location must have 1 to 8192 characters; it has 0."),
        ({"url": "x" * 8193}, "The URL of a location must have 1 to 8192 characters; it has 8193."),
        ({"url": URL, "metadata": "text"}, "The metadata of a location must be an object."),
        ({"url": URL, "metadata": [1]}, "The metadata of a location must be an object."),
        ({"url": URL, "validation_data": None}, HAS),
        ({"url": URL, "validation_data": {"more": "x"}}, HAS),
        ({"url": URL, "validation_data": {"checksum": MD5}}, NEEDS),
        ({"url": URL, "validation_data": {"os_hash_algo": "sha256"}}, NEEDS),
        ({"url": URL, "validation_data": {"os_hash_value": SHA256}}, NEEDS),
        ({"url": URL, "validation_data": {"os_hash_algo": "sha256", "os_hash_value": 7}}, NEEDS),
        (
            {"url": URL, "validation_data": {"os_hash_algo": "a", "os_hash_value": "b", "checksum": None}},
            NEEDS,
        ),
    ],
)
def test_what_is_no_location(body: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        locations.parse(body)
    assert refusal.value.message == message


def test_digests_that_no_algorithm_made() -> None:
    """They are refused where the image is to have them."""
    locations.check_digests(Location(URL))
    locations.check_digests(Location(URL, {}, MD5, "sha256", SHA256))
    with pytest.raises(Invalid, match="sha256 hash"):
        locations.check_digests(Location(URL, {}, MD5, "sha256", SHA256[1:]))
    with pytest.raises(Invalid, match="algorithm of a hash"):
        locations.check_digests(Location(URL, {}, None, "crc", SHA256))
    with pytest.raises(Invalid, match="md5 hash"):
        locations.check_digests(Location(URL, {}, MD5[1:], "sha256", SHA256))


def test_only_queued_images_get_a_location() -> None:
    """And no task may be at work on them."""
    locations.check_queued(Image("one", 0, 0))
    for status in ("saving", "active", "importing", "deactivated"):
        with pytest.raises(Conflict) as refusal:
            locations.check_queued(Image("one", 0, 0, status=status))
        assert refusal.value.message == f"It's not allowed to add locations if image status is {status}."
    with pytest.raises(Conflict) as refusal:
        locations.check_queued(Image("one", 0, 0, import_task="t"))
    assert refusal.value.message == "A task is at work on the image 'one' already: t."
