"""Deleting copies of images from stores."""

from collections.abc import Sequence

import msgspec

from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, fetch, now
from tintype.domain.blobs import CONDEMNED, READY, Blob
from tintype.domain.callers import Caller
from tintype.domain.images import ACTIVE, Image
from tintype.domain.stores import in_order
from tintype.errors import Conflict, Forbidden, NotFound
from tintype.services.access import ImageAccess, contended
from tintype.services.copies import Copies
from tintype.services.wakeups import Wakeup


class Stores:
    """The use cases."""

    def __init__(self, database: Database, access: ImageAccess, copies: Copies, condemned: Wakeup) -> None:
        """`condemned` wakes the sweeper."""
        self._database = database
        self._access = access
        self._copies = copies
        self._condemned = condemned

    async def delete_copy(self, caller: Caller, store_id: str, image_id: str) -> None:
        """Delete an image's copy in one store; the sweeper deletes the bytes.

        Raises Conflict if the image is not active or clones depend on the copy, Forbidden for the last copy,
        NotFound if there is none.
        """
        if store_id not in self._copies.infos:
            raise Conflict(f"The selected store {store_id} is not available on this node.")
        image = await self._access.get(caller, image_id)
        self._access.authorize("get_image_location", caller, image)
        self._access.authorize("delete_image_location", caller, image)
        known = await fetch(self._database, blob_rows.ready_of, image.id)
        for blob in known:
            if blob.store == store_id:
                await self._copies.check_unused(blob)
        async with self._database.write(durable=True) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            if image.status != ACTIVE:
                raise Conflict(
                    "It's not allowed to remove image data from store if image status is not 'active'"
                )
            known = await blob_rows.ready_of(tx, image.id)
            left = [blob for blob in known if blob.store != store_id]
            if len(known) == 1:
                raise Forbidden(
                    "Cannot delete image data from the only store containing it. "
                    "Consider deleting the image instead."
                )
            if len(left) == len(known):
                raise NotFound(f"Image {image.id} is not stored in store {store_id}.")
            for blob in known:
                if blob not in left:
                    image = await remove_copy(tx, self._copies, image, blob, left)
        self._condemned.wake()


async def remove_copy(
    tx: Transaction, copies: Copies, image: Image, gone: Blob, left: Sequence[Blob]
) -> Image:
    """Condemn one copy and save the image without it. Raises Conflict after a concurrent change."""
    await blob_rows.move(tx, gone.id, READY, CONDEMNED)
    stores = in_order((blob.store for blob in left), copies.infos)
    after = msgspec.structs.replace(image, stores=stores, updated_at=max(now(), image.updated_at))
    if not await image_rows.save(tx, image, after):
        raise contended(image.id)
    return after
