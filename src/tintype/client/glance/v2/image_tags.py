"""Tags by python-glanceclient's names."""

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import tags


class Controller(Base):
    """`glance.image_tags`."""

    def update(self, image_id: str, tag_value: str) -> utils.Tuple:
        """Add a tag to an image."""
        return self._done(tags.add(image_id, tag_value))

    def delete(self, image_id: str, tag_value: str) -> utils.Tuple:
        """Remove a tag from an image."""
        return self._done(tags.remove(image_id, tag_value))
