"""Taking images over from a Glance: their rows become ours, their bytes stay where they are.

May be repeated: what was taken before and has not changed is left, what has changed there since is
brought up to date, and what was changed here since is never touched.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tintype.blobs.base import BlobStore
from tintype.blobs.stream import Digests
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import members as member_rows
from tintype.db.blobs import READY, Blob
from tintype.db.engine import Database, Transaction
from tintype.domain.images import ACTIVE, DEACTIVATED, QUEUED, RESERVED_PREFIX, Image
from tintype.domain.members import Member
from tintype.errors import Conflict, TintypeError
from tintype.glance import Location, Place, Record, place_of
from tintype.services.images import now

TAKEN, UPDATED, KNOWN, DELETED, LEFT = "taken", "updated", "known", "deleted", "left"
_FIELDS: Final = (
    *("name", "owner", "status", "visibility", "disk_format", "container_format", "min_disk", "min_ram"),
    *("virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at"),
)
_BLOBS: Final = uuid.UUID("2b6a3c0e-1f0e-5b7c-9a44-6d1f4f1d0c55")
"""Under which the ids of blobs are made from their places: the same ones each time."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one image, and what there is to say about it."""

    image_id: str
    name: str
    what: str
    detail: str = ""


class Takeover:
    """The use case. `homes` are our stores by the kind and place that they have in common with Glance's."""

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        homes: Mapping[tuple[str, str], str],
        *,
        dry_run: bool,
    ) -> None:
        self._database = database
        self._stores = stores
        self._homes = homes
        self._dry_run = dry_run

    async def take(self, record: Record) -> Outcome:
        """Take one image over, or say why not."""
        image_id = record.row["id"].lower()
        async with self._database.read() as tx:
            before = await image_rows.get(tx, image_id, None)
            buried = before is None and await image_rows.is_buried(tx, image_id)
        if record.row["deleted"]:
            what, detail = await self._delete(before, record), ""
        elif record.row["status"] not in {ACTIVE, DEACTIVATED, QUEUED}:
            what, detail = LEFT, f"it is {record.row['status']} there: take it later"
        elif buried:
            what, detail = KNOWN, "it was deleted here since"
        elif before is not None and before.updated_at > record.row["updated_at"]:
            what, detail = KNOWN, "it was changed here since"
        else:
            what, detail = await self._take(image_id, before, record)
        return Outcome(image_id, record.row["name"] or "", what, detail)

    async def _take(self, image_id: str, before: Image | None, record: Record) -> tuple[str, str]:
        blobs, problems = await self._find_bytes(image_id, record)
        if problems and not blobs:
            return LEFT, "; ".join(problems)
        image = _image(image_id, record, tuple(dict.fromkeys(blob.store for blob in blobs)))
        detail = "; ".join(f"a copy was left: {problem}" for problem in problems)
        if before is not None and _same(before, image):
            return KNOWN, detail
        if not self._dry_run:
            try:
                async with self._database.write(durable=True) as tx:
                    await self._write(tx, before, image, record, blobs)
            except Conflict as error:
                return LEFT, error.message
        return TAKEN if before is None else UPDATED, detail

    async def _find_bytes(self, image_id: str, record: Record) -> tuple[list[Blob], list[str]]:
        blobs: list[Blob] = []
        problems = []
        for location in record.locations:
            place = place_of(location.value)
            store = self._homes.get((place.kind, place.within)) if place is not None else None
            if location.status != "active" or place is None or store is None:
                problems.append(_where(location, place))
                continue
            key = str(uuid.uuid5(_BLOBS, f"{store}/{place.name}"))
            blob = Blob(key, store, image_id, READY, place.name)
            try:
                size = await self._stores[store].size(blob.key)
            except TintypeError as error:
                problems.append(error.message)
                continue
            if size is None or (record.row["size"] is not None and size != record.row["size"]):
                found = "no bytes" if size is None else f"{size} bytes instead of {record.row['size']}"
                problems.append(f"{found} at {place.name} in store '{store}'")
                continue
            blobs.append(blob)
        return blobs, problems

    async def _delete(self, before: Image | None, record: Record) -> str:
        """Follow a deletion; an id that was in use there is never given again here either."""
        if before is not None and before.updated_at > record.row["deleted_at"]:
            return KNOWN
        if not self._dry_run:
            async with self._database.write(durable=True) as tx:
                if before is None:
                    await image_rows.bury(tx, record.row["id"].lower(), record.row["deleted_at"] or now())
                elif await image_rows.remove(tx, before, now()):
                    await blob_rows.condemn_all_of(tx, before.id)
        return DELETED

    async def _write(
        self, tx: Transaction, before: Image | None, image: Image, record: Record, blobs: Sequence[Blob]
    ) -> None:
        if before is None:
            await image_rows.add(tx, image)
        elif not await image_rows.save(tx, before, image):
            raise Conflict("it was changed here at the same time")
        known = {blob.id for blob in await blob_rows.ready_of(tx, image.id)}
        for blob in blobs:
            if blob.id not in known:
                if await blob_rows.get(tx, blob.id) is not None:
                    raise Conflict("its bytes are those of another image, too")
                size = image.size or 0
                await blob_rows.adopt(tx, blob, size=size, digests=_digests(image), now=now())
        for gone in known - {blob.id for blob in blobs}:
            await blob_rows.condemn(tx, gone, READY)
        members = [
            Member(image.id, each.id, each.status, each.created_at, each.updated_at)
            for each in record.members
        ]
        await member_rows.replace_all(tx, image.id, members)


def _image(image_id: str, record: Record, stores: tuple[str, ...]) -> Image:
    row = record.row
    properties = {
        name: value for name, value in record.properties.items() if not name.startswith(RESERVED_PREFIX)
    }
    return Image(
        id=image_id,
        **{name: row[name] for name in _FIELDS},
        size=row["size"] if row["status"] != QUEUED else None,
        protected=bool(row["protected"]),
        os_hidden=bool(row["os_hidden"]),
        properties=properties,
        tags=tuple(sorted(set(record.tags))),
        stores=stores,
    )


def _same(before: Image, image: Image) -> bool:
    return msgspec.structs.replace(before, version=image.version, failure=None) == image


def _digests(image: Image) -> str | None:
    if not image.checksum or not image.os_hash_value:
        return None
    digests = Digests(
        image.size or 0, image.checksum, image.os_hash_algo or "", image.os_hash_value, image.virtual_size
    )
    return msgspec.json.encode(digests).decode()


def _where(location: Location, place: Place | None) -> str:
    """Say where bytes are that cannot be reached, without the credentials that an URL may have."""
    if location.status != "active":
        return f"a location is {location.status}"
    if place is None:
        return f"no store here is of the kind of {location.value.partition(':')[0]} locations"
    return f"no store here is the {place.kind} store {place.within}"
