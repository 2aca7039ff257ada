"""Settings of the service's public face: its URLs, limits and versions."""

from collections.abc import Sequence

import msgspec

from tintype.api.throttle import Throttle


class Front(msgspec.Struct, frozen=True):
    """Settings of the service's public face: its URLs, limits and versions."""

    public_url: str | None
    """URL that clients reach it by; None for the one each request came to."""
    identity_url: str | None
    """URL of the identity service; None for our own."""
    body_limit: int
    """Bytes of a request's body, image data apart."""
    throttle: Throttle | None
    minor_versions: Sequence[int]
    """Of the API: each is served below its own prefix, too."""
