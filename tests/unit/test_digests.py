"""Digests that clients declare for their data."""

import base64
import hashlib

import pytest

from tintype.domain import digests
from tintype.errors import Invalid

DATA = b"bytes"
MD5, SHA256, SHA512 = (hashlib.new(name, DATA) for name in ("md5", "sha256", "sha512"))


def written(name: str, digest: bytes) -> str:
    return f"{name}=:{base64.b64encode(digest).decode()}:"


def test_no_header_expects_nothing() -> None:
    assert digests.expected(None, None) == {}


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(MD5.digest()).decode(),
        f"  {base64.b64encode(MD5.digest()).decode()} ",
        MD5.hexdigest(),
        MD5.hexdigest().upper(),
        f" {MD5.hexdigest()} ",
    ],
)
def test_content_md5_in_both_forms(text: str) -> None:
    """In base64 as its RFC has it, and in hex as the image API has it."""
    assert digests.expected(None, text) == {"md5": MD5.hexdigest()}


@pytest.mark.parametrize(
    ("name", "key", "digest"),
    [("md5", "md5", MD5), ("sha-256", "sha256", SHA256), ("sha-512", "sha512", SHA512)],
)
def test_repr_digest_of_each_algorithm(name: str, key: str, digest: "hashlib._Hash") -> None:
    """With parameters, which say nothing, and beside algorithms that are not known here."""
    one = written(name, digest.digest())
    for header in (one, f" {one} ", f"{one};q=1", f"unixsum=:Ae0=:, {one}", f"{one},crc32=:Ae0=:"):
        assert digests.expected(header, None) == {key: digest.hexdigest()}


def test_several_at_once() -> None:
    """All of them must hold; what stands twice must agree."""
    header = f"{written('sha-256', SHA256.digest())}, {written('sha-512', SHA512.digest())}"
    both = {"sha256": SHA256.hexdigest(), "sha512": SHA512.hexdigest()}
    assert digests.expected(header, None) == both
    assert digests.expected(header, MD5.hexdigest()) == {"md5": MD5.hexdigest(), **both}
    assert digests.expected(written("md5", MD5.digest()), MD5.hexdigest()) == {"md5": MD5.hexdigest()}
    with pytest.raises(Invalid) as refusal:
        digests.expected(written("md5", MD5.digest()), "0" * 32)
    assert refusal.value.message == "Content-MD5 and Repr-Digest contradict each other."


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("unixsum=:Ae0=:", "Repr-Digest has no supported algorithm. Supported: md5, sha-256, sha-512."),
        ("sha-256", "Repr-Digest is written like: sha-256=:<base64>:"),
        ("sha-256=", "Repr-Digest is written like: sha-256=:<base64>:"),
        ("sha-256=:", "Repr-Digest is written like: sha-256=:<base64>:"),
        ("sha-256=abc:", "Repr-Digest is written like: sha-256=:<base64>:"),
        ("sha-256=:abc", "Repr-Digest is written like: sha-256=:<base64>:"),
        ("sha-256=:a?c=:", "The sha256 digest is not valid base64."),
        ("sha-256=:YWI=:", "A sha256 digest has 32 bytes, not 2."),
        ("sha-256=::", "A sha256 digest has 32 bytes, not 0."),
        ("sha-512=:YWI=:", "A sha512 digest has 64 bytes, not 2."),
        ("md5=:YWI=:", "A md5 digest has 16 bytes, not 2."),
        (f"x=:{'A' * 998}", "Repr-Digest is too long."),
    ],
)
def test_what_is_no_repr_digest(header: str, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        digests.expected(header, None)
    assert refusal.value.message == message


def test_a_repr_digest_of_a_thousand_characters_is_read() -> None:
    one = written("sha-256", SHA256.digest())
    filler = f"x=:{'A' * (1000 - len(one) - 5)}:,"
    assert len(filler + one) == 1000
    assert digests.expected(filler + one, None) == {"sha256": SHA256.hexdigest()}


@pytest.mark.parametrize("text", ["", "abc", "g" * 32, "YWI=", "0" * 31, "Ä" * 24])
def test_what_is_no_content_md5(text: str) -> None:
    with pytest.raises(Invalid, match="md5 digest"):
        digests.expected(None, text)
