"""Digests that a client sends with its bytes (RFC 9530 §3, RFC 1864), to be verified on arrival."""

import base64
import binascii
import re
from typing import Final

from tintype.errors import Invalid

_NAMES: Final = {"md5": "md5", "sha-256": "sha256", "sha-512": "sha512"}
"""The supported algorithms, from their name in HTTP to the one in hashlib."""
_HEX_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
_LENGTHS: Final = {"md5": 16, "sha256": 32, "sha512": 64}
_LONGEST: Final = 1000


def expected(repr_digest: str | None, content_md5: str | None) -> dict[str, str]:
    """Return the digests that the complete bytes must have, in hex by hashlib's name.

    `Content-MD5` may be base64, as in its RFC, or hex, as the image API sends it. Unknown algorithms in
    `Repr-Digest` are skipped, as its RFC allows. Raises Invalid if none is left, because a client that sends
    the header expects verification, and for malformed or contradictory headers.
    """
    found: dict[str, str] = {}
    if content_md5 is not None:
        text = content_md5.strip()
        found["md5"] = text.lower() if _HEX_MD5.fullmatch(text) else _decoded("md5", text)
    if repr_digest is not None:
        members = dict(_members(repr_digest))
        if not members:
            raise Invalid(f"Repr-Digest has no supported algorithm. Supported: {', '.join(_NAMES)}.")
        for name, digest in members.items():
            if found.setdefault(name, digest) != digest:
                raise Invalid("Content-MD5 and Repr-Digest contradict each other.")
    return found


def _members(header: str) -> list[tuple[str, str]]:
    if len(header) > _LONGEST:
        raise Invalid("Repr-Digest is too long.")
    members = []
    for member in header.split(","):
        name, equals, value = member.strip().partition("=")
        value = value.partition(";")[0].strip()
        if not equals or len(value) < 2 or value[0] != ":" or value[-1] != ":":
            raise Invalid("Repr-Digest is written like: sha-256=:<base64>:")
        if name in _NAMES:
            members.append((_NAMES[name], _decoded(_NAMES[name], value[1:-1])))
    return members


def _decoded(name: str, text: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"The {name} digest is not valid base64.") from None
    if len(digest) != _LENGTHS[name]:
        raise Invalid(f"A {name} digest has {_LENGTHS[name]} bytes, not {len(digest)}.")
    return digest.hex()
