"""The cache of a node, by python-glanceclient's names."""

from typing import Any, Final

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import cache

TARGET_VALUES: Final = ("both", "cache", "queue")


class Controller(Base):
    """`glance.cache`. Each raises HTTPNotImplemented where the server has no cache."""

    def is_supported(self, version: str) -> bool:
        """Say that the server serves a version of the cache's API, or raise HTTPNotImplemented."""
        utils.needs(self.http_client, version, "Image caching")
        return True

    def list(self) -> Any:
        """Show what is kept and what waits to be."""
        self.is_supported("v2.14")
        return self._body(cache.show())

    def delete(self, image_id: str) -> Any:
        """Drop an image."""
        self.is_supported("v2.14")
        return self._body(cache.delete(image_id))

    def clear(self, target: str) -> Any:
        """Drop everything of `both`, `cache` or `queue`."""
        self.is_supported("v2.14")
        return self._body(cache.clear(target))

    def queue(self, image_id: str) -> Any:
        """Have an image fetched."""
        self.is_supported("v2.14")
        return self._body(cache.queue(image_id))

    def list_cached_nodes(self, image_id: str) -> Any:
        """Name the nodes that keep an image."""
        self.is_supported("v2.16")
        return self._body(cache.nodes(image_id))

    def clean(self) -> Any:
        """Drop what stalled."""
        self.is_supported("v2.18")
        return self._body(cache.clean())

    def prune(self) -> Any:
        """Bring the cache within its limit."""
        self.is_supported("v2.18")
        return self._body(cache.prune())
