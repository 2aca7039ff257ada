"""Which bytes a request wants (RFC 9110 §14, the part of it that the image API takes)."""

import re
from typing import Final

from tintype.errors import BadRange, Invalid

_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_CONTENT_RANGE: Final = re.compile(r"bytes\s+([0-9]+)-([0-9]+)/([0-9]+|\*)")
_LONGEST: Final = 100
_DIGITS: Final = 19
"""More digits than this cannot be an offset in a file: no arithmetic on numbers of a megabyte."""


def requested(range_header: str | None, content_range: str | None, size: int) -> tuple[int, int] | None:
    """Give the wanted bytes as (start, stop), or None where all are.

    `content_range` is a request header that no request should have; Glance takes it for Range, so
    old clients send it. Raises Invalid for several ranges at once and BadRange for one that lies
    outside `size` bytes.
    """
    if range_header is not None:
        return _parse_range(range_header, size)
    if content_range is not None:
        return _parse_content_range(content_range, size)
    return None


def _parse_range(header: str, size: int) -> tuple[int, int]:
    if "," in header:
        raise Invalid("Requests with multiple ranges are not supported. Make one request for each range.")
    match = _RANGE.fullmatch(header) if len(header) <= _LONGEST else None
    if match is None or max(map(len, match.groups())) > _DIGITS:
        raise _unsatisfiable("Invalid Range header.", size)
    first, last = match.groups()
    if not first:
        if not last or int(last) == 0 or size == 0:
            raise _unsatisfiable("Invalid Range header.", size)
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        raise _unsatisfiable("Invalid Range header.", size)
    if start >= size:
        raise _unsatisfiable(
            f"Invalid start position in Range header. It must be in the inclusive range [0, {size - 1}].",
            size,
        )
    return start, min(int(last) + 1, size) if last else size


def _parse_content_range(header: str, size: int) -> tuple[int, int]:
    match = _CONTENT_RANGE.fullmatch(header.strip()) if len(header) <= _LONGEST else None
    if match is None or max(map(len, match.groups())) > _DIGITS:
        raise _unsatisfiable("Invalid Content-Range header.", size)
    start, last = int(match[1]), int(match[2])
    if last < start or start >= size or last >= size:
        raise _unsatisfiable(f"Invalid Content-Range header: the image has {size} bytes.", size)
    return start, last + 1


def _unsatisfiable(message: str, size: int) -> BadRange:
    return BadRange(message, size=size)
