"""Versions in the addresses of services."""

import re
from typing import Any, Final

_VERSION: Final = re.compile(r"([a-z]+://[^/]+)/v(\d+(?:\.\d+)?)", re.IGNORECASE)


def strip_version(endpoint: str) -> tuple[str, float | None]:
    """Return an address without the version at its end, and the version; ValueError for what is no text."""
    if not isinstance(endpoint, str):
        raise ValueError("Expected endpoint")  # noqa: TRY004  which is what callers catch
    bare = endpoint.rstrip("/")
    found = _VERSION.fullmatch(bare)
    return (bare, None) if found is None else (found[1], float(found[2]))


def endpoint_version_from_url(endpoint: str | None, default_version: Any = None) -> tuple[Any, Any]:
    """Return an address without its version, and that or the default."""
    if not endpoint:
        return None, default_version
    bare, version = strip_version(endpoint)
    return bare, version or default_version
