"""Signed images: whether they may be filled, since this service cannot verify signatures."""

from collections.abc import Mapping

import structlog

from tintype.domain.images import Image, is_signed
from tintype.errors import Invalid


class Signatures:
    """Decides whether a signed image may be filled, in the transaction that claims the image."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, *, ignored: bool) -> None:
        """`ignored` says whether unverified bytes are accepted, with a warning in the log."""
        self._log = log
        self._ignored = ignored

    def check(self, image: Image) -> None:
        """Raise Invalid if a signed image is about to be filled and the settings do not allow it."""
        self.check_new(image.properties, f"image {image.id}")

    def check_new(self, properties: Mapping[str, str], what: str = "the image") -> None:
        """Check an image that does not exist yet, by its properties."""
        if is_signed(properties) and not self._ignored:
            raise Invalid(
                f"Signature verification failed for {what}: this service cannot verify signatures. Remove "
                'the img_signature properties, or have the operator set images.signatures = "ignore", which '
                "accepts unverified bytes."
            )

    def accept(self, image: Image) -> None:
        """Check the image, and log if its bytes are accepted unverified."""
        self.check(image)
        if is_signed(image.properties):
            self._log.warning("signature not verified", image_id=image.id)
