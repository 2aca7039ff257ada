"""Byte ranges of requests (RFC 9110 §14, as far as the image API supports it)."""

import re
from typing import Final, Literal

import msgspec

from tintype.errors import BadRange, Invalid

_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_CONTENT_RANGE: Final = re.compile(r"bytes\s+([0-9]+)-([0-9]+)/([0-9]+|\*)")
_LONGEST: Final = 100
_DIGITS: Final = 19
"""The most digits of an offset, to avoid arithmetic on numbers with millions of digits."""


class ByteRange(msgspec.Struct, frozen=True):
    """A byte range in a request, before the size is known.

    Without `first` it means the last `last` bytes. Without either it is malformed, which only callers who
    may read the bytes get to know.
    """

    header: Literal["Range", "Content-Range"]
    first: int | None = None
    last: int | None = None
    several: bool = False

    def within(self, size: int) -> tuple[int, int]:
        """Return the bytes as (start, stop).

        Raises Invalid for several ranges at once, and BadRange for a malformed one or one outside `size`.
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
    """Return the range that a request asks for, or None for all bytes.

    Old clients send `Content-Range`, which is not a request header, because Glance treats it as Range.
    """
    if range_header is not None:
        if "," in range_header:
            return ByteRange("Range", several=True)
        return ByteRange("Range", *_numbers(_RANGE, range_header))
    if content_range is not None:
        return ByteRange("Content-Range", *_numbers(_CONTENT_RANGE, content_range))
    return None


def _numbers(pattern: re.Pattern[str], header: str) -> tuple[int | None, int | None]:
    """Return the first two numbers of a header; None for missing ones, and for both if malformed."""
    match = pattern.fullmatch(header.strip()) if len(header) <= _LONGEST else None
    if match is None or max(map(len, match.groups())) > _DIGITS:
        return None, None
    first, last = match.group(1, 2)
    return int(first) if first else None, int(last) if last else None
