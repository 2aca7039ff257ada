"""The cache of a node."""

from tintype.client.models import CacheState, Pruned
from tintype.client.requests import Reply, Request, nothing, one, path


def show() -> Request[CacheState]:
    """Show the cached and the queued images (API 2.14)."""
    return Request("GET", "/v2/cache", one(CacheState))


def queue(image_id: str) -> Request[None]:
    """Queue an image for caching."""
    return Request("PUT", path("v2", "cache", image_id), nothing)


def delete(image_id: str) -> Request[None]:
    """Delete an image from the cache and its queue."""
    return Request("DELETE", path("v2", "cache", image_id), nothing)


def clear(target: str = "both") -> Request[None]:
    """Clear the `cache`, the `queue`, or `both`."""
    headers = {} if target == "both" else {"x-image-cache-clear-target": target}
    return Request("DELETE", "/v2/cache", nothing, headers=headers)


def clean() -> Request[None]:
    """Delete stalled fills, and data that belongs to no image (API 2.18)."""
    return Request("POST", "/v2/cache/clean", nothing)


def prune() -> Request[Pruned]:
    """Evict images until the cache is within its limit (API 2.18)."""
    return Request("POST", "/v2/cache/prune", one(Pruned))


def nodes(image_id: str) -> Request[list[str]]:
    """List the nodes that have an image cached (API 2.16)."""
    return Request("GET", path("v2", "cache", "nodes", image_id), _names)


def _names(reply: Reply) -> list[str]:
    return [str(name) for name in reply.json()]
