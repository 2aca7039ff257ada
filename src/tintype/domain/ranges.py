"""Which bytes a request wants (RFC 9110 §14, the part of it that the image API takes)."""

import re
from typing import Final, Literal

import msgspec

from tintype.errors import BadRange, Invalid

_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_CONTENT_RANGE: Final = re.compile(r"bytes\s+([0-9]+)-([0-9]+)/([0-9]+|\*)")
_LONGEST: Final = 100
_DIGITS: Final = 19
"""More digits than this cannot be an offset in a file: no arithmetic on numbers of a megabyte."""


class ByteRange(msgspec.Struct, frozen=True):
    """One range of bytes as a request names it, before it is known how many there are.

    Without `first` it is the last `last` bytes; without either it is malformed, which only who may read
    the bytes is told.
    """

    header: Literal["Range", "Content-Range"]
    first: int | None = None
    last: int | None = None
    several: bool = False

    def within(self, size: int) -> tuple[int, int]:
        """Return the bytes as (start, stop).

        Raises Invalid for several ranges at once, and BadRange for one that is malformed or lies outside
        `size` bytes.
        """
        if self.several:
            raise Invalid("Requests with multiple ranges are not supported. Make one request for each range.")
        first, last = self.first, self.last
        if self.header == "Content-Range" and first is not None and last is not None:
            if last < first or last >= size:
                raise BadRange(f"Invalid Content-Range header: the image has {size} bytes.", size=size)
        elif first is None and last and size:
            return max(0, size - last), size
        if first is None or (last is not None and last < first):
            raise BadRange(f"Invalid {self.header} header.", size=size)
        if first >= size:
            raise BadRange(
                f"Invalid start position in Range header. It must be in the inclusive range [0, {size - 1}].",
                size=size,
            )
        return first, size if last is None else min(last + 1, size)


def parse(range_header: str | None, content_range: str | None) -> ByteRange | None:
    """Return the range that a request wants, or None where it wants all bytes.

    `content_range` is a request header that no request should have; Glance takes it for Range, so old
    clients send it.
    """
    if range_header is not None:
        if "," in range_header:
            return ByteRange("Range", several=True)
        return ByteRange("Range", *_numbers(_RANGE, range_header))
    if content_range is not None:
        return ByteRange("Content-Range", *_numbers(_CONTENT_RANGE, content_range))
    return None


def _numbers(pattern: re.Pattern[str], header: str) -> tuple[int | None, int | None]:
    """Return the first two numbers of a header; None for what it leaves out, and where it is malformed."""
    match = pattern.fullmatch(header.strip()) if len(header) <= _LONGEST else None
    if match is None or max(map(len, match.groups())) > _DIGITS:
        return None, None
    first, last = match.group(1, 2)
    return int(first) if first else None, int(last) if last else None
