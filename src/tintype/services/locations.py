"""Locations of images: shown to services, added by them, and by users if the settings allow it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tintype.blobs.base import Addressed, BlobStore
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, fetch, now
from tintype.domain import images, locations, quotas
from tintype.domain.addresses import display_url
from tintype.domain.blobs import READY, Blob
from tintype.domain.callers import Caller
from tintype.domain.images import ACTIVE, QUEUED, Image
from tintype.domain.locations import Location
from tintype.domain.stores import in_order
from tintype.domain.tasks import LOCATION, Task, lane_of
from tintype.errors import Conflict, Forbidden, Invalid, OverLimit, Unavailable
from tintype.services.access import ImageAccess, contended
from tintype.services.copies import Copies
from tintype.services.queue import JobQueue
from tintype.services.quotas import enforce_quota, quota_turn
from tintype.services.signatures import Signatures
from tintype.services.stores import remove_copy
from tintype.services.wakeups import Wakeup

_WEB: Final = ("http://", "https://")


@dataclass
class Locations:
    """The use cases."""

    _database: Database
    _access: ImageAccess
    _stores: Mapping[str, BlobStore]
    _copies: Copies
    signatures: Signatures
    _queue: JobQueue
    _condemned: Wakeup
    """Wakes the sweeper."""
    most: int
    """How many locations an image may have."""

    async def begin(
        self, caller: Caller, image_id: str, location: Location, body: Any, request_id: str
    ) -> None:
        """Start adding a location, whose bytes exist already, to a queued image (Image API 2.17).

        Services may name bytes in our stores, all others only bytes on the web. Raises Conflict if the image
        is not queued, Forbidden or Invalid for a URL that is not allowed.
        """
        image = await self._access.get(caller, image_id)
        self._access.conceal("add_image_location", caller, image)
        locations.check_queued(image)
        self._access.authorize("add_image_location", caller, image)
        if not is_trusted(caller) and not _on_the_web(location.url):
            raise Forbidden("Only services of the cloud may add a location that is not http or https.")
        locations.check_digests(location)
        store, place = await self.resolve(caller, location.url)
        moment = now()
        task = Task(
            str(uuid.uuid4()),
            LOCATION,
            image.id,
            caller.project_id,
            caller.user_id,
            request_id,
            {
                "image_id": image.id,
                "loc_url": location.url,
                "validation_data": body.get("validation_data") or {},
            },
            moment,
            moment,
        )
        async with self._queue.transaction(caller) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            locations.check_queued(image)
            self._access.authorize("add_image_location", caller, image)
            images.check_formats(image)
            await self.check_free(tx, store, place)
            self.signatures.check(image)
            taken = replace(
                image, import_task=task.id, failure=None, updated_at=max(moment, image.updated_at)
            )
            if not await image_rows.save(tx, image, taken):
                raise contended(image.id)
            await enforce_quota(tx, caller, image.owner, quotas.STORE)
            await self._queue.add(tx, replace(task, lane=lane_of(task, stored_on_web=False)), caller)

    async def get(self, caller: Caller, image_id: str) -> list[dict[str, Any]]:
        """Return the locations of an image, for services of the cloud."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("fetch_image_location", caller, image)
        return (await self.shown(caller, [image])).get(image.id, [])

    async def shown(self, caller: Caller, shown: Sequence[Image]) -> dict[str, list[dict[str, Any]]]:
        """Return the locations of visible images by id; those of deactivated ones only to admins."""
        return await self._of(
            [image for image in shown if image.status != images.DEACTIVATED or caller.is_admin]
        )

    async def add(self, caller: Caller, image_id: str, location: Location) -> Image:
        """Add a location at once, trusting its digests (the API before 2.17, if enabled)."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("set_image_location", caller, image)
        _check_changeable(image)
        store, place = await self.resolve(caller, location.url)
        size = await self._copies.store(Blob("", store, image.id, READY, place)).size(f"={place}")
        if size is None:
            raise Invalid(f"Nothing was found at {display_url(location.url)}.")
        async with self._database.write(durable=True, turn=self.turn(caller, store)) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            _check_changeable(image)
            images.check_formats(image)
            self.signatures.accept(image)
            await self.check_free(tx, store, place, image.id)
            known = await blob_rows.ready_of(tx, image.id)
            if len(known) >= self.most:
                raise OverLimit(f"An image may have {self.most} locations.")
            metadata = msgspec.json.encode(location.metadata).decode()
            blob = Blob(str(uuid.uuid4()), store, image.id, READY, place, metadata)
            await blob_rows.adopt(tx, blob, size=size, digests=None, now=now())
            after = _with_location(image, location, size)
            after = replace(
                after,
                stores=in_order((*image.stores, store), self._copies.infos),
                updated_at=max(now(), image.updated_at),
            )
            if not await image_rows.save(tx, image, after):
                raise contended(image.id)
            await enforce_quota(tx, caller, image.owner, quotas.STORE)
        return after

    async def replace(self, caller: Caller, image_id: str, wanted: Sequence[Location]) -> Image:
        """Replace the metadata of locations; the set of locations must stay the same."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("set_image_location", caller, image)
        if image.status == QUEUED and len(wanted) == 1:
            return await self.add(caller, image_id, wanted[0])
        _check_changeable(image)
        known = await fetch(self._database, blob_rows.ready_of, image.id)
        urls = [await self._url(blob) for blob in known]
        if sorted(urls) != sorted(location.url for location in wanted):
            raise Invalid("Original locations cannot be replaced, only their metadata.")
        metadata = {location.url: location.metadata for location in wanted}
        async with self._database.write() as tx:
            for url, blob in zip(urls, known, strict=True):
                kept = {name: value for name, value in metadata[url].items() if name != "store"}
                await blob_rows.set_metadata(tx, blob.id, msgspec.json.encode(kept).decode())
        return image

    async def remove(self, caller: Caller, image_id: str, position: int) -> Image:
        """Remove one of an image's locations, and its bytes if they are ours."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("delete_image_location", caller, image)
        known = self._copies.ordered(await fetch(self._database, blob_rows.ready_of, image.id))
        checked = known[position] if position < len(known) else None
        if checked is not None:
            await self._copies.check_unused(checked)
        async with self._database.write(durable=True) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            if image.status != ACTIVE:
                raise Conflict(f"It's not allowed to remove locations if image status is {image.status}.")
            known = self._copies.ordered(await blob_rows.ready_of(tx, image.id))
            if len(known) == 1:
                raise Forbidden("Cannot remove last location in the image.")
            if not 0 <= position < len(known):
                raise Invalid("Invalid position for removing a location.")
            gone = known.pop(position)
            if checked is None or gone.id != checked.id:
                raise contended(image.id)
            after = await remove_copy(tx, self._copies, image, gone, known)
        self._condemned.wake()
        return after

    async def _of(self, shown: Sequence[Image]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[Blob]] = {image.id: [] for image in shown}
        async with self._database.read() as tx:
            for blob in await blob_rows.ready_of_many(tx, list(found)) if found else ():
                found[blob.image_id].append(blob)
        return {
            image_id: [await self._view(blob) for blob in self._copies.ordered(blobs)]
            for image_id, blobs in found.items()
        }

    async def _view(self, blob: Blob) -> dict[str, Any]:
        metadata = {} if blob.metadata is None else msgspec.json.decode(blob.metadata)
        return {"url": await self._url(blob), "metadata": {**metadata, "store": blob.store}}

    async def _url(self, blob: Blob) -> str:
        """Return a blob's URL, or one made of store and blob id if the store has none or does not answer."""
        store = self._stores.get(blob.store)
        try:
            if isinstance(store, Addressed):
                return await store.url(blob.key)
        except Unavailable:
            pass
        return f"tintype://{blob.store}/{blob.id}"

    async def resolve(self, caller: Caller, url: str) -> tuple[str, str]:
        """Return the store that a URL points into, and the name of the bytes there.

        Services may name bytes in our stores, all others only bytes on the web. Raises Invalid or Forbidden
        for another URL.
        """
        on_the_web = _on_the_web(url)
        if not on_the_web and not is_trusted(caller):
            raise Invalid("A location is an address on the web: http or https.")
        for name, store in self._stores.items():
            if isinstance(store, Addressed) and (store.type == "http") == on_the_web:
                place = await store.place(url)
                if place is not None:
                    return name, place
        if on_the_web:
            raise Forbidden("http store must be enabled to use location API by normal user.")
        raise Invalid("The location does not belong to any store.")

    def turn(self, caller: Caller, store: str) -> str | None:
        """Return the turn of transactions that add locations in a store: one image for each place in ours."""
        return quota_turn(caller) if self._copies.infos[store].read_only else f"places in {store}"

    async def check_free(self, tx: Transaction, store: str, place: str, image_id: str | None = None) -> None:
        """Raise Invalid if an image has these bytes already and deleting either image would delete them."""
        others = await blob_rows.images_at(tx, store, place)
        if image_id in others or (others and not self._copies.infos[store].read_only):
            raise Invalid("An image has this location already.")


def _on_the_web(url: str) -> bool:
    return url.lower().startswith(_WEB)


def is_trusted(caller: Caller) -> bool:
    """Return whether the caller is a service of the cloud, or a service acts for it."""
    return "service" in caller.roles | caller.service_roles


def location_of(task: Task) -> Location:
    """Return the location that a job is to add."""
    given = {"url": task.input["loc_url"], "validation_data": task.input["validation_data"]}
    return locations.parse(given)


def _with_location(image: Image, location: Location, size: int) -> Image:
    """Return a queued image with its first location, or check another one against the image's digests."""
    known = (location.checksum, location.algorithm, location.digest)
    if image.status == QUEUED:
        locations.check_digests(location)
        return images.changed_status(
            image,
            ACTIVE,
            size=size,
            checksum=location.checksum,
            os_hash_algo=location.algorithm,
            os_hash_value=location.digest,
        )
    if location.algorithm and known != (image.checksum, image.os_hash_algo, image.os_hash_value):
        raise Conflict("The location's validation_data does not match the image.")
    if size != image.size:
        raise Conflict("The data at the location does not have the size of the image.")
    return image


def _check_changeable(image: Image) -> None:
    if image.status not in {ACTIVE, QUEUED} or image.import_task is not None:
        raise Conflict(f"It's not allowed to change locations if image status is {image.status}.")
