"""What a resumable upload is, and how tus 1.0 writes about one (https://tus.io/protocols/resumable-upload)."""

import base64
import binascii
from typing import Final

import msgspec

from tintype.errors import ChecksumMismatch, Conflict, Invalid, OverLimit

CHECKSUMS: Final = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Algorithms of `Upload-Checksum`, and the bytes of their digests."""
METADATA_LIMIT: Final = 4096
_DIGITS: Final = 19


class Upload(msgspec.Struct, frozen=True):
    """A resumable upload. Times are microseconds since the epoch, sizes are bytes.

    `offset` is what outlives any accident. It reaches `length` only together with the image becoming
    active: until then at least the last byte is still to come, so that a client which lost the
    answer asks again, and the end is tried again.
    """

    id: str
    image_id: str
    length: int
    offset: int
    metadata: str
    expected: dict[str, str]
    """Digests in hex by algorithm that the whole must have."""
    expires_at: int

    @property
    def finished(self) -> bool:
        """Say whether the bytes became the image's."""
        return self.offset == self.length

    def kept(self, received: int) -> int:
        """Give the offset that may be promised when so many bytes are safe."""
        return max(0, min(received, self.length - 1))


class Checksum(msgspec.Struct, frozen=True):
    """What one piece must hash to."""

    algorithm: str
    digest: bytes


def parse_length(header: str | None, limit: int) -> int:
    """Read `Upload-Length`; raises Invalid for none, OverLimit past the limit."""
    length = parse_offset(header, "Upload-Length")
    if length > limit:
        raise OverLimit(f"The incoming image is too large: at most {limit} bytes are allowed.")
    return length


def parse_offset(header: str | None, name: str = "Upload-Offset") -> int:
    """Read a number of bytes; raises Invalid for what is none."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > _DIGITS:
        raise Invalid(f"{name} must be a number of bytes.")
    return int(header)


def check_metadata(header: str | None) -> str:
    """Give `Upload-Metadata` back as it came; raises Invalid where it is malformed or too long."""
    if not header:
        return ""
    if len(header) > METADATA_LIMIT:
        raise Invalid(f"Upload-Metadata may have at most {METADATA_LIMIT} characters.")
    names = set()
    for pair in header.split(","):
        name, _, value = pair.strip().partition(" ")
        if not name or name in names or not name.isascii():
            raise Invalid("Upload-Metadata has names that are empty, not ASCII, or stand twice.")
        names.add(name)
        try:
            base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise Invalid(f"Upload-Metadata: the value of {name[:50]} is not valid base64.") from None
    return header


def parse_checksum(header: str | None) -> Checksum | None:
    """Read `Upload-Checksum`; raises Invalid for an algorithm that is not known, or what is no digest."""
    if header is None:
        return None
    algorithm, _, text = header.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise Invalid(f"Upload-Checksum: the algorithms are {', '.join(CHECKSUMS)}.")
    try:
        digest = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != CHECKSUMS[algorithm]:
        raise Invalid(f"Upload-Checksum: the digest is not the base64 of {CHECKSUMS[algorithm]} bytes.")
    return Checksum(algorithm, digest)


def check_offset(upload: Upload, offset: int) -> None:
    """Refuse bytes that do not follow those received: the client asks for the offset and tries again."""
    if offset != upload.offset:
        raise Conflict(f"The upload stands at offset {upload.offset}, not at {offset}.")


def check_checksum(checksum: Checksum, digest: bytes) -> None:
    """Refuse a piece that is not what its sender meant."""
    if checksum.digest != digest:
        raise ChecksumMismatch("The bytes of this request do not have the digest of its Upload-Checksum.")
