"""What the service tells of itself, by python-glanceclient's names."""

from typing import Any

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import info


class Controller(Base):
    """`glance.info`."""

    def get_usage(self, **_kwargs: Any) -> Any:
        """Return the usage and limits of the caller's project."""
        response, body = self._send(info.usage())
        return utils.with_ids(body["usage"], response)
