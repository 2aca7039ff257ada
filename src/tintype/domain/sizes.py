"""Human-readable sizes."""

from typing import Final

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(size: int) -> str:
    """Return a number of bytes in the unit that fits, such as `700 bytes` or `1.3 GiB`."""
    if size < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    value, units = size / 1024, list(_UNITS)
    while round(value, 1) >= 1024:
        value /= 1024
        del units[0]
    return f"{value:.1f} {units[0]}"
