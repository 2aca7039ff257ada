"""Managing a node's cache, for operators: list entries, queue images, delete entries.

Each use case authorizes first and then raises NotFound if no cache is configured, as Glance does.
"""

from collections.abc import Collection, Sequence

from tintype.db import cache as rows
from tintype.db.cache import WAITING, Entry
from tintype.db.engine import Database, fetch
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.errors import NotFound
from tintype.services.access import ImageAccess
from tintype.services.cache import Cache

MANAGE = "manage_image_cache"
"""The one policy rule of the older routes, for every operation on the cache."""


class CachedImages:
    """The use cases of this node's cache."""

    def __init__(self, database: Database, access: ImageAccess, cache: Cache | None) -> None:
        self._database = database
        self._policy = access.policy
        self._access = access
        self._cache = cache

    async def list(self, caller: Caller, rule: str = "cache_list") -> tuple[Sequence[Entry], Sequence[str]]:
        """Return the complete entries, and the ids of images that are queued or being fetched."""
        found = await self._require(rule, caller).entries()
        return (
            [entry for entry in found if entry.is_whole],
            [entry.image_id for entry in found if entry.state in WAITING],
        )

    async def queue(self, caller: Caller, image_id: str) -> None:
        """Queue an active image to be fetched. Raises Invalid for an image in another state."""
        image = await self._access.get(caller, image_id)
        await self._require("cache_image", caller, image).enqueue(image)

    async def queue_as_manager(self, caller: Caller, image_id: str) -> None:
        """Queue an image under the older rule, which is checked before the image is loaded."""
        cache = self._require(MANAGE, caller)
        await cache.enqueue(await self._access.get(caller, image_id))

    async def delete(self, caller: Caller, image_id: str) -> None:
        """Delete an image, perhaps a deleted one, from the cache and its queue.

        Raises NotFound for an image that the caller cannot see, unless it may delete any entry.
        """
        try:
            image = await self._access.get(caller, image_id)
        except NotFound:
            if self._cache is None or not self._policy.allows("cache_delete", caller, {}):
                raise
            if not await self._drop(self._cache, image_id):
                raise
        else:
            await self._drop(self._require("cache_delete", caller, image), image_id)

    async def delete_as_manager(self, caller: Caller, image_id: str, states: Collection[str]) -> None:
        """Delete an image from the cache or its queue under the older rule; do nothing if it is not there."""
        await self._drop(self._require(MANAGE, caller), image_id, states)

    async def clear(self, caller: Caller, states: Collection[str], rule: str = "cache_delete") -> int:
        """Delete all entries in the given states; return how many."""
        return await self._require(rule, caller).clear(states)

    async def clean(self, caller: Caller) -> None:
        """Delete entries that are incomplete and unread for a day, and files that belong to no image."""
        await self._require("cache_clean", caller).clean()

    async def prune(self, caller: Caller) -> tuple[int, int]:
        """Evict entries until the cache is within its limit; return how many images and bytes."""
        gone = await self._require("cache_prune", caller).prune()
        return len(gone), sum(entry.size for entry in gone)

    async def nodes(self, caller: Caller, image_id: str) -> Sequence[str]:
        """Return the names of the nodes that have the whole image cached."""
        self._require("list_cached_nodes", caller)
        image = await self._access.get(caller, image_id)
        return await fetch(self._database, rows.nodes_with, image.id)

    def _require(self, rule: str, caller: Caller, image: Image | None = None) -> Cache:
        if image is None:
            self._policy.require(rule, caller, {})
        else:
            self._access.authorize(rule, caller, image)
        if self._cache is None:
            raise NotFound("Caching via API is not supported at this site: cache.folder is not set.")
        return self._cache

    async def _drop(self, cache: Cache, image_id: str, states: Collection[str] | None = None) -> bool:
        """Delete an image's entry if it is in one of the states; return whether it was."""
        entry = await cache.entry(image_id.lower())
        if entry is None or (states is not None and entry.state not in states):
            return False
        await cache.drop([entry])
        return True
