"""Conditional requests for bytes that never change (RFC 9110 §13, RFC 9530).

An active image's data is immutable, so its digest is a strong validator.
"""

import base64
from collections.abc import Collection
from typing import Final

from tintype.domain.images import Image

_REGISTERED: Final = {"sha256": "sha-256", "sha512": "sha-512"}
"""Digest algorithms that have a name in HTTP."""


def etag(image: Image) -> str | None:
    """Return the strong entity tag of an image's data; None if its digest is not known."""
    return f'"{image.os_hash_value}"' if image.os_hash_value else None


def repr_digest(image: Image) -> str | None:
    """Return the `Repr-Digest` of an image's data; None if the algorithm has no name in HTTP."""
    name = _REGISTERED.get(image.os_hash_algo or "")
    if name is None or not image.os_hash_value:
        return None
    return f"{name}=:{base64.b64encode(bytes.fromhex(image.os_hash_value)).decode()}:"


def parse_tags(if_none_match: str | None) -> frozenset[str]:
    """Return the entity tags in an `If-None-Match` header; `*` stands for any."""
    return frozenset(tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")) - {""}


def is_known(known_tags: Collection[str], tag: str | None) -> bool:
    """Return whether an entity tag is among those of the client (`If-None-Match`, weak comparison)."""
    return tag is not None and (tag in known_tags or "*" in known_tags)


def range_applies(range_of: str | None, tag: str | None) -> bool:
    """Return whether a range applies to the bytes with `tag` (`If-Range`, strong comparison)."""
    return range_of is None or range_of == tag
