"""The cache of this node over HTTP: Image API 2.14 and 2.18, and the routes of `glance-cache-manage`."""

from typing import Any, Final

from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.json_schema import one_of
from tintype.api.operation import Answer, describe
from tintype.db.cache import FILLING, READY, WAITING, Entry
from tintype.errors import Invalid
from tintype.services.cached_images import MANAGE, CachedImages

_KEPT: Final = (READY, FILLING)
_TARGETS: Final = {"": (*_KEPT, *WAITING), "cache": _KEPT, "queue": WAITING}
_TARGET: Final = parameters.in_header(
    "X-Image-Cache-Clear-Target", "What to clear; by default both.", one_of("cache", "queue", "")
)


class CacheApi:
    """Handlers of `/v2/cache`, `/v2/cached_images` and `/v2/queued_images`."""

    def __init__(self, cache: CachedImages) -> None:
        self._cache = cache

    @describe(Answer(200, "cache"), errors=(404,))
    async def index(self, call: Call) -> Response:
        """List the cached images and the queued ones."""
        kept, queued = await self._cache.list(call.caller)
        return wire.json_response(
            {"cached_images": [_view(entry) for entry in kept], "queued_images": queued}
        )

    @describe(Answer(202), errors=(409,))
    async def queue(self, call: Call) -> Response:
        """Queue an image for caching."""
        await self._cache.queue(call.caller, call.params["id"])
        return Response(status_code=202)

    @describe(Answer(204))
    async def delete(self, call: Call) -> Response:
        """Delete an image from the cache and its queue."""
        await self._cache.delete(call.caller, call.params["id"])
        return wire.no_content()

    @describe(Answer(204), takes=(_TARGET,), errors=(404,))
    async def clear(self, call: Call) -> Response:
        """Clear the cache and its queue, or the one that the header x-image-cache-clear-target names."""
        target = call.headers.get("x-image-cache-clear-target", "").lower()
        if target not in _TARGETS:
            raise Invalid(
                "If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string."
            )
        await self._cache.clear(call.caller, _TARGETS[target])
        return wire.no_content()

    @describe(Answer(200), errors=(404,))
    async def clean(self, call: Call) -> Response:
        """Delete stalled fills, and data that belongs to no image."""
        await self._cache.clean(call.caller)
        return Response(status_code=200)

    @describe(Answer(200, "pruned"), errors=(404,))
    async def prune(self, call: Call) -> Response:
        """Evict images until the cache is within its limit."""
        images, size = await self._cache.prune(call.caller)
        return wire.json_response({"total_files_pruned": images, "total_bytes_pruned": size})

    @describe(Answer(200, "nodes"))
    async def nodes(self, call: Call) -> Response:
        """List the nodes that have an image cached."""
        return wire.json_response(list(await self._cache.nodes(call.caller, call.params["id"])))

    @describe(Answer(200, "cached_images"), errors=(404,))
    async def cached(self, call: Call) -> Response:
        """List the cached images."""
        kept, _ = await self._cache.list(call.caller, MANAGE)
        return wire.json_response({"cached_images": [_view(entry) for entry in kept]})

    @describe(Answer(200, "queued_images"), errors=(404,))
    async def queued(self, call: Call) -> Response:
        """List the queued images."""
        _, queued = await self._cache.list(call.caller, MANAGE)
        return wire.json_response({"queued_images": queued})

    @describe(Answer(200, "nothing"), errors=(409,))
    async def enqueue(self, call: Call) -> Response:
        """Queue an image for caching."""
        await self._cache.queue_as_manager(call.caller, call.params["id"])
        return wire.json_response(None)

    @describe(Answer(200, "nothing"))
    async def delete_cached(self, call: Call) -> Response:
        """Delete an image from the cache."""
        await self._cache.delete_as_manager(call.caller, call.params["id"], _KEPT)
        return wire.json_response(None)

    @describe(Answer(200, "nothing"))
    async def delete_queued(self, call: Call) -> Response:
        """Delete an image from the queue."""
        await self._cache.delete_as_manager(call.caller, call.params["id"], WAITING)
        return wire.json_response(None)

    @describe(Answer(200, "deleted_count"), errors=(404,))
    async def clear_cached(self, call: Call) -> Response:
        """Delete every image from the cache."""
        return wire.json_response({"num_deleted": await self._cache.clear(call.caller, _KEPT, MANAGE)})

    @describe(Answer(200, "deleted_count"), errors=(404,))
    async def clear_queued(self, call: Call) -> Response:
        """Delete every image from the queue."""
        return wire.json_response({"num_deleted": await self._cache.clear(call.caller, WAITING, MANAGE)})


def _view(entry: Entry) -> dict[str, Any]:
    """Return an entry in Glance's form: times in seconds since the epoch."""
    return {
        "image_id": entry.image_id,
        "size": entry.size,
        "hits": entry.hits,
        "checksum": entry.digest.partition("-")[2],
        "last_accessed": entry.accessed_at / 1_000_000 if entry.hits else 0,
        "last_modified": entry.created_at / 1_000_000,
    }
