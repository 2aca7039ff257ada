"""Conditional requests: tags, digests, and whether bytes are sent again."""

import hashlib

import pytest

from tintype.domain import conditions
from tintype.domain.images import Image

SHA512, SHA256 = hashlib.sha512(b"abc"), hashlib.sha256(b"abc")


def image(algorithm: str | None, value: str | None) -> Image:
    return Image("one", 0, 0, os_hash_algo=algorithm, os_hash_value=value)


def test_the_digest_is_the_tag() -> None:
    """In quotes: a strong one. Without a digest there is none."""
    assert conditions.etag(image("sha512", "ab12")) == '"ab12"'
    assert conditions.etag(image("sha512", None)) is None
    assert conditions.etag(image(None, "")) is None


def test_digests_by_their_names_in_http() -> None:
    """In base64 between colons; algorithms without such a name are not told."""
    assert conditions.repr_digest(image("sha512", SHA512.hexdigest())) == (
        "sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:"
    )
    assert conditions.repr_digest(image("sha256", SHA256.hexdigest())) == (
        "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
    )
    for algorithm, value in (("sha1", "ab"), ("sha512", None), (None, "ab"), (None, None)):
        assert conditions.repr_digest(image(algorithm, value)) is None


@pytest.mark.parametrize(
    ("header", "tag", "same"),
    [
        (None, '"a"', False),
        ('"a"', None, False),
        ("*", None, False),
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', '"a"', True),
        ('"b", "a"', '"a"', True),
        ('"b" ,  W/"a" ', '"a"', True),
        ("*", '"a"', True),
        ('"b",*', '"a"', True),
        ("a", '"a"', False),
        ("", '"a"', False),
    ],
)
def test_who_has_the_bytes_gets_none(header: str | None, tag: str | None, same: bool) -> None:
    """`If-None-Match` compares weakly, as its RFC says."""
    assert conditions.is_known(conditions.parse_tags(header), tag) is same


@pytest.mark.parametrize(
    ("header", "tag", "applies"),
    [
        (None, '"a"', True),
        (None, None, True),
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', False),
        ('"b"', '"a"', False),
        ('"a"', None, False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", '"a"', False),
    ],
)
def test_a_range_is_of_the_same_bytes(header: str | None, tag: str | None, applies: bool) -> None:
    """`If-Range` compares strongly, and dates are no strong validators."""
    assert conditions.range_applies(header, tag) is applies
