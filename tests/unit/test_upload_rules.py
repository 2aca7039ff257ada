"""Resumable uploads: headers of tus, offsets that may be promised, and checksums of pieces."""

import base64
import hashlib

import msgspec
import pytest

from tintype.domain import uploads
from tintype.domain.uploads import Checksum, Upload
from tintype.errors import ChecksumMismatch, Conflict, Invalid, OverLimit

UPLOAD = Upload("u", "i", 10, 4, "", {}, 0)


def test_an_upload_is_finished_with_its_last_byte() -> None:
    assert not UPLOAD.finished
    assert msgspec.structs.replace(UPLOAD, offset=10).finished


@pytest.mark.parametrize(("received", "kept"), [(-1, 0), (0, 0), (1, 1), (9, 9), (10, 9), (11, 9)])
def test_the_last_byte_is_not_promised_before_the_image_is_active(received: int, kept: int) -> None:
    assert UPLOAD.resumable_offset(received) == kept


@pytest.mark.parametrize(("header", "value"), [("0", 0), ("12", 12), ("9" * 19, int("9" * 19)), ("007", 7)])
def test_numbers_of_bytes(header: str, value: int) -> None:
    assert uploads.parse_offset(header) == value


@pytest.mark.parametrize("header", [None, "", "-1", "+1", "1.0", "a", " 1", "٣", "²", "9" * 20])
def test_what_is_no_number_of_bytes(header: str | None) -> None:
    """The refusal names the header."""
    with pytest.raises(Invalid) as refusal:
        uploads.parse_offset(header)
    assert refusal.value.message == "Upload-Offset must be a number of bytes."
    with pytest.raises(Invalid) as refusal:
        uploads.parse_length(header, 10)
    assert refusal.value.message == "Upload-Length must be a number of bytes."


def test_a_length_has_a_limit() -> None:
    assert uploads.parse_length("10", 10) == 10
    with pytest.raises(OverLimit) as refusal:
        uploads.parse_length("11", 10)
    assert refusal.value.message == "The incoming image is too large: at most 10 bytes are allowed."


@pytest.mark.parametrize("header", [None, ""])
def test_no_metadata(header: str | None) -> None:
    assert uploads.check_metadata(header) == ""


@pytest.mark.parametrize("header", ["name", "name ZGlzaw==", "name ZGlzaw==,type", " a  ZGlzaw== , b "])
def test_metadata_is_given_back_as_it_came(header: str) -> None:
    assert uploads.check_metadata(header) == header


NAMES = "Upload-Metadata has names that are empty, not ASCII, or repeated."


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a,", NAMES),
        (",a", NAMES),
        ("a,a", NAMES),
        ("a ZGlzaw==,b,a", NAMES),
        ("ä ZGlzaw==", NAMES),
        ("a ?", "Upload-Metadata: the value of a is not valid base64."),
        ("a,b ZGlzaw=", "Upload-Metadata: the value of b is not valid base64."),
        (f"{'n' * 60} ?", f"Upload-Metadata: the value of {'n' * 50} is not valid base64."),
        ("a" * 4097, "Upload-Metadata may have at most 4096 characters."),
    ],
)
def test_what_is_no_metadata(header: str, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        uploads.check_metadata(header)
    assert refusal.value.message == message
    assert uploads.check_metadata("a" * 4096) == "a" * 4096


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_checksums(algorithm: str) -> None:
    """Each algorithm that is advertised, with its own length."""
    digest = hashlib.new(algorithm, b"x").digest()
    text = base64.b64encode(digest).decode()
    for header in (f"{algorithm} {text}", f" {algorithm}  {text} "):
        assert uploads.parse_checksum(header) == Checksum(algorithm, digest)
    for wrong in ("", "?", text[4:], f"{text}AAAA", "ÄÄ=="):
        with pytest.raises(Invalid) as refusal:
            uploads.parse_checksum(f"{algorithm} {wrong}")
        assert refusal.value.message == (
            f"Upload-Checksum: the digest is not the base64 of {len(digest)} bytes."
        )


def test_algorithms_that_are_not_known() -> None:
    assert uploads.parse_checksum(None) is None
    for header in ("", "crc32 AAAA", "MD5 AAAA", "md5,AAAA"):
        with pytest.raises(Invalid) as refusal:
            uploads.parse_checksum(header)
        assert refusal.value.message == "Upload-Checksum: the algorithms are md5, sha1, sha256, sha512."


def test_bytes_follow_those_received() -> None:
    uploads.check_offset(UPLOAD, 4)
    for offset in (3, 5, 0):
        with pytest.raises(Conflict) as refusal:
            uploads.check_offset(UPLOAD, offset)
        assert refusal.value.message == f"The upload is at offset 4, not at {offset}."


def test_a_piece_is_what_its_sender_meant() -> None:
    uploads.check_checksum(Checksum("md5", b"a"), b"a")
    with pytest.raises(ChecksumMismatch) as refusal:
        uploads.check_checksum(Checksum("md5", b"a"), b"b")
    assert "Upload-Checksum" in refusal.value.message
