"""The gate that every use case of an image passes: what a caller may not know of does not exist."""

from tintype.db import images as image_rows
from tintype.db.engine import Database
from tintype.domain import images
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.errors import Forbidden, NotFound
from tintype.policy.engine import Policy


class Gate:
    """Loads images for callers."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def load(self, caller: Caller, image_id: str) -> Image:
        """Give an image, as one that the caller may see; raises NotFound for any other."""
        async with self._database.read() as tx:
            image = await image_rows.get(tx, image_id.lower(), caller.project_id)
        if image is None or not self._sees(caller, image):
            raise NotFound(f"No image found with ID {image_id}")
        return image

    def require(self, rule: str, caller: Caller, image: Image) -> None:
        """Raise Forbidden unless the rule allows it; NotFound where the caller may not even see the image."""
        try:
            self._policy.require(rule, caller, image.target())
        except Forbidden:
            if not self._sees(caller, image):
                raise NotFound(f"No image found with ID {image.id}") from None
            raise

    def _sees(self, caller: Caller, image: Image) -> bool:
        return images.visible(image, caller) and self._policy.allows("get_image", caller, image.target())
