"""Adding and removing single tags of an image."""

import msgspec

from tintype.domain import images as rules
from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.errors import NotFound
from tintype.services.access import ImageAccess
from tintype.services.images import Images


class Tags:
    """The use cases."""

    def __init__(self, access: ImageAccess, limits: Limits, images: Images) -> None:
        self._access = access
        self._limits = limits
        self._images = images

    async def add(self, caller: Caller, image_id: str, tag: str) -> None:
        """Add a tag to an image; do nothing if it has the tag."""
        rules.check_tag(tag)

        def decide(image: Image) -> Image:
            self._access.authorize("modify_image", caller, image)
            if tag in image.tags:
                return image
            tags = rules.checked_tags((*image.tags, tag), self._limits)
            return msgspec.structs.replace(image, tags=tags)

        await self._images.change(caller, image_id, decide)

    async def remove(self, caller: Caller, image_id: str, tag: str) -> None:
        """Remove a tag from an image. Raises NotFound if the image does not have it."""

        def decide(image: Image) -> Image:
            self._access.authorize("modify_image", caller, image)
            if tag not in image.tags:
                raise NotFound(f"Image {image_id} has no tag '{tag}'.")
            return msgspec.structs.replace(image, tags=tuple(other for other in image.tags if other != tag))

        await self._images.change(caller, image_id, decide)
