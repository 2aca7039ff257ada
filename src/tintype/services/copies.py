"""Reading an image from its copies: from the first store that answers."""

from collections.abc import AsyncIterator, Mapping, Sequence

from tintype.blobs.base import BlobStore, Clonable
from tintype.blobs.reading import closing
from tintype.domain.blobs import Blob
from tintype.domain.stores import StoreInfo, in_order
from tintype.errors import Conflict, NotFound, TintypeError, Unavailable


class Copies:
    """Chooses among copies, and continues with the next one when a store fails midway."""

    def __init__(self, stores: Mapping[str, BlobStore], infos: Mapping[str, StoreInfo]) -> None:
        self._stores = stores
        self.infos = infos

    def ordered(self, blobs: Sequence[Blob], preferred: Sequence[str] = ()) -> list[Blob]:
        """Return copies in the order to try: first those in `preferred` stores, then by store weight."""
        if len(blobs) < 2:
            return list(blobs)
        ranks = {
            name: at
            for at, name in enumerate(
                dict.fromkeys((*preferred, *in_order((blob.store for blob in blobs), self.infos)))
            )
        }
        return sorted(blobs, key=lambda blob: ranks[blob.store])

    async def available(self, blobs: Sequence[Blob]) -> list[Blob]:
        """Return the copies from the first available one on.

        Raises Unavailable, or NotFound if no store has its copy, when none is available.
        """
        failure: TintypeError | None = None
        for at, blob in enumerate(blobs):
            try:
                if await self.store(blob).size(blob.key) is not None:
                    return list(blobs[at:])
                if not isinstance(failure, Unavailable):  # keep the error that may be temporary
                    failure = NotFound(
                        f"The data of image {blob.image_id} is missing from store '{blob.store}'."
                    )
            except Unavailable as error:
                failure = error
        raise failure or NotFound("None of the image's stores has its data.")

    async def read(self, blobs: Sequence[Blob], start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, not including, `stop`; switch copies when a store fails."""
        failure: TintypeError | None = None
        for blob in blobs:
            try:
                async with closing(self.store(blob).read(blob.key, start, stop)) as chunks:
                    async for chunk in chunks:
                        start += len(chunk)
                        yield chunk
            except (Unavailable, NotFound) as error:
                failure = error
            else:
                return
        raise failure or NotFound("None of the image's stores has its data.")

    def may_be_in_use(self, names: Sequence[str]) -> bool:
        """Return whether one of these stores supports clones, so that copies may be in use."""
        return any(isinstance(self._stores.get(name), Clonable) for name in names)

    async def check_unused(self, blob: Blob) -> None:
        """Raise Conflict if the store has clones that still depend on the copy."""
        store = self._stores.get(blob.store)
        if isinstance(store, Clonable) and await store.in_use(blob.key):
            raise Conflict(f"The data of image {blob.image_id} is in use in store {blob.store}.")

    def store(self, blob: Blob) -> BlobStore:
        """Return a copy's store. Raises Unavailable if the settings have no store of its name."""
        store = self._stores.get(blob.store)
        if store is None:
            raise Unavailable(f"The store '{blob.store}', where the data is, is not in the settings.")
        return store
