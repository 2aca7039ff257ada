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
    """Give the strong entity tag of an image's data; None where its digest is not known."""
    return f'"{image.os_hash_value}"' if image.os_hash_value else None


def repr_digest(image: Image) -> str | None:
    """Give the `Repr-Digest` of an image's whole data; None where HTTP has no name for the algorithm."""
    name = _REGISTERED.get(image.os_hash_algo or "")
    if name is None or not image.os_hash_value:
        return None
    return f"{name}=:{base64.b64encode(bytes.fromhex(image.os_hash_value)).decode()}:"


def parse_tags(if_none_match: str | None) -> frozenset[str]:
    """Return the entity tags of the bytes that a client has already; `*` stands for any."""
    return frozenset(tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")) - {""}


def is_known(known_tags: Collection[str], tag: str | None) -> bool:
    """Return whether a client with these entity tags has the bytes of this tag (`If-None-Match`, weakly)."""
    return tag is not None and (tag in known_tags or "*" in known_tags)


def range_applies(range_of: str | None, tag: str | None) -> bool:
    """Return whether a range that is meant for the bytes of a tag is one of these (`If-Range`, strongly)."""
    return range_of is None or range_of == tag
