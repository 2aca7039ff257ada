"""Resumable uploads, and the headers of tus 1.0 (https://tus.io/protocols/resumable-upload)."""

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

    `offset` counts durable bytes. It reaches `length` only in the transaction that makes the image active;
    until then at least the last byte is missing, so that a client that lost the response asks again and
    retries the last step.
    """

    id: str
    image_id: str
    length: int
    offset: int
    metadata: str
    expected: dict[str, str]
    """Expected hex digests of the complete bytes, by algorithm."""
    expires_at: int

    @property
    def finished(self) -> bool:
        """Return whether the bytes have become the image's data."""
        return self.offset == self.length

    def resumable_offset(self, received: int) -> int:
        """Return the offset to report when `received` bytes are durable."""
        return max(0, min(received, self.length - 1))


class Checksum(msgspec.Struct, frozen=True):
    """The expected digest of one chunk."""

    algorithm: str
    digest: bytes


def parse_length(header: str | None, limit: int) -> int:
    """Parse `Upload-Length`. Raises Invalid if it is missing or malformed, OverLimit beyond the limit."""
    length = parse_offset(header, "Upload-Length")
    if length > limit:
        raise OverLimit(f"The incoming image is too large: at most {limit} bytes are allowed.")
    return length


def parse_offset(header: str | None, name: str = "Upload-Offset") -> int:
    """Parse a number of bytes. Raises Invalid if it is missing or malformed."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > _DIGITS:
        raise Invalid(f"{name} must be a number of bytes.")
    return int(header)


def check_metadata(header: str | None) -> str:
    """Return `Upload-Metadata` unchanged. Raises Invalid if it is malformed or too long."""
    if not header:
        return ""
    if len(header) > METADATA_LIMIT:
        raise Invalid(f"Upload-Metadata may have at most {METADATA_LIMIT} characters.")
    names = set()
    for pair in header.split(","):
        name, _, value = pair.strip().partition(" ")
        if not name or name in names or not name.isascii():
            raise Invalid("Upload-Metadata has names that are empty, not ASCII, or repeated.")
        names.add(name)
        try:
            base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise Invalid(f"Upload-Metadata: the value of {name[:50]} is not valid base64.") from None
    return header


def parse_checksum(header: str | None) -> Checksum | None:
    """Parse `Upload-Checksum`. Raises Invalid for an unknown algorithm or a malformed digest."""
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
    """Raise Conflict unless a chunk begins at the upload's offset."""
    if offset != upload.offset:
        raise Conflict(f"The upload is at offset {upload.offset}, not at {offset}.")


def check_checksum(checksum: Checksum, digest: bytes) -> None:
    """Raise ChecksumMismatch unless a chunk has the expected digest."""
    if checksum.digest != digest:
        raise ChecksumMismatch("The bytes of this request do not have the digest of its Upload-Checksum.")
