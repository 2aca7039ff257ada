"""The cache of a node."""

from tintype.client.models import CacheState, Pruned
from tintype.client.requests import Reply, Request, nothing, one, path


def show() -> Request[CacheState]:
    """Show what is kept and what waits to be (API 2.14)."""
    return Request("GET", "/v2/cache", one(CacheState))


def queue(image_id: str) -> Request[None]:
    """Have an image fetched."""
    return Request("PUT", path("v2", "cache", image_id), nothing)


def delete(image_id: str) -> Request[None]:
    """Drop an image from the cache and its queue."""
    return Request("DELETE", path("v2", "cache", image_id), nothing)


def clear(target: str = "both") -> Request[None]:
    """Drop everything of `cache`, `queue` or `both`."""
    headers = {} if target == "both" else {"x-image-cache-clear-target": target}
    return Request("DELETE", "/v2/cache", nothing, headers=headers)


def clean() -> Request[None]:
    """Drop what stalled, and what belongs to nothing (API 2.18)."""
    return Request("POST", "/v2/cache/clean", nothing)


def prune() -> Request[Pruned]:
    """Bring the cache within its limit (API 2.18)."""
    return Request("POST", "/v2/cache/prune", one(Pruned))


def nodes(image_id: str) -> Request[list[str]]:
    """Name the nodes that keep an image (API 2.16)."""
    return Request("GET", path("v2", "cache", "nodes", image_id), _names)


def _names(reply: Reply) -> list[str]:
    return [str(name) for name in reply.json()]
