"""The cache of a node, by python-glanceclient's names."""

from typing import Any, Final

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import cache

TARGET_VALUES: Final = ("both", "cache", "queue")


class Controller(Base):
    """`glance.cache`. Each raises HTTPNotImplemented where the server has no cache."""

    def is_supported(self, version: str) -> bool:
        """Return True if the server supports a version of the cache's API, else raise HTTPNotImplemented."""
        utils.needs(self.http_client, version, "Image caching")
        return True

    def list(self) -> Any:
        """Show the cached and the queued images."""
        self.is_supported("v2.14")
        return self._body(cache.show())

    def delete(self, image_id: str) -> Any:
        """Delete an image from the cache and its queue."""
        self.is_supported("v2.14")
        return self._body(cache.delete(image_id))

    def clear(self, target: str) -> Any:
        """Clear `both`, the `cache` or the `queue`."""
        self.is_supported("v2.14")
        return self._body(cache.clear(target))

    def queue(self, image_id: str) -> Any:
        """Queue an image for caching."""
        self.is_supported("v2.14")
        return self._body(cache.queue(image_id))

    def list_cached_nodes(self, image_id: str) -> Any:
        """List the nodes that have an image cached."""
        self.is_supported("v2.16")
        return self._body(cache.nodes(image_id))

    def clean(self) -> Any:
        """Delete stalled fills."""
        self.is_supported("v2.18")
        return self._body(cache.clean())

    def prune(self) -> Any:
        """Evict images until the cache is within its limit."""
        self.is_supported("v2.18")
        return self._body(cache.prune())
