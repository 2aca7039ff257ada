"""Tags by python-glanceclient's names."""

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import tags


class Controller(Base):
    """`glance.image_tags`."""

    def update(self, image_id: str, tag_value: str) -> utils.Tuple:
        """Put a tag on an image."""
        return self._done(tags.add(image_id, tag_value))

    def delete(self, image_id: str, tag_value: str) -> utils.Tuple:
        """Take a tag off an image."""
        return self._done(tags.remove(image_id, tag_value))
