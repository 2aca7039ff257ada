"""What the application needs of the settings: public URLs, limits and API versions."""

from collections.abc import Sequence

import msgspec

from tintype.api.throttle import Throttle


class Front(msgspec.Struct, frozen=True):
    """What the application needs of the settings: public URLs, limits and API versions."""

    public_url: str | None
    """URL by which clients reach the service; None for the one that each request was sent to."""
    identity_url: str | None
    """URL of the identity service; None for the built-in one."""
    body_limit: int
    """Most bytes in a request's body, except image data."""
    throttle: Throttle | None
    minor_versions: Sequence[int]
    """Minor versions of the API; each is also served below its own prefix."""
