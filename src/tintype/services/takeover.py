"""Importing images from a Glance: their records are copied, their bytes stay where they are.

May be repeated: images changed only in Glance are updated, images changed here are left alone, and images
changed on both sides are reported. Members are synchronized separately, so a project that is removed there
is removed here. The import never deletes bytes.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from tintype.blobs.base import BlobStore
from tintype.blobs.stream import Digests
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import members as member_rows
from tintype.db import takeovers as rows
from tintype.db.engine import Database, Transaction, Violation, now
from tintype.db.takeovers import TakenOver
from tintype.domain.blobs import READY, Blob
from tintype.domain.images import ACTIVE, DEACTIVATED, QUEUED, RESERVED_PREFIX, Image
from tintype.domain.members import Member
from tintype.errors import Conflict, TintypeError
from tintype.glance import Location, Record, place_of

TAKEN, UPDATED, KNOWN, DELETED, LEFT = "taken", "updated", "known", "deleted", "left"
_FIELDS: Final = (
    *("name", "owner", "status", "visibility", "disk_format", "container_format", "min_disk", "min_ram"),
    *("virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at"),
)
_HEX: Final = re.compile("(?:[0-9a-f]{2})+")
_BLOBS: Final = uuid.UUID("2b6a3c0e-1f0e-5b7c-9a44-6d1f4f1d0c55")
"""Namespace of blob ids, which are made from the blobs' places so that they are the same each time."""


class Outcome(msgspec.Struct, frozen=True):
    """The outcome for one image, with details."""

    image_id: str
    name: str
    what: str
    detail: str = ""


class _Local(msgspec.Struct, frozen=True):
    """What exists here of an image."""

    image: Image | None
    taken: TakenOver | None
    deleted: bool
    blobs: tuple[Blob, ...]

    @property
    def changed(self) -> bool:
        """Whether the image has been changed here since it was imported."""
        return self.image is not None and (
            self.taken is None or self.image.updated_at != self.taken.updated_at
        )


@dataclass
class Takeover:
    """The use case."""

    _database: Database
    _stores: Mapping[str, BlobStore]
    _homes: Mapping[tuple[str, str], str]
    """The ids of our stores, by kind and place of Glance's at the same place."""
    _: KW_ONLY
    dry_run: bool

    async def import_image(self, record: Record) -> Outcome:
        """Import one image; the outcome has the reason if it is left out."""
        image_id = record.row["id"].lower()
        try:
            local = await self._load(image_id)
            what, detail = await self._decide(image_id, local, record)
        except (TintypeError, Violation) as error:
            what, detail = LEFT, str(error)
        return Outcome(image_id, record.row["name"] or "", what, detail)

    async def _load(self, image_id: str) -> _Local:
        async with self._database.read() as tx:
            image = await image_rows.get(tx, image_id, None)
            return _Local(
                image,
                await rows.get(tx, image_id),
                image is None and await image_rows.is_reserved(tx, image_id),
                tuple(await blob_rows.ready_of(tx, image_id)),
            )

    async def _decide(self, image_id: str, local: _Local, record: Record) -> tuple[str, str]:
        status = record.row["status"]
        if local.image is not None and local.taken is None:
            return LEFT, "another image has this id here"
        if record.row["deleted"]:
            return await self._follow_deletion(image_id, local, record)
        if local.deleted:
            return KNOWN, "it was deleted here"
        if status not in {ACTIVE, DEACTIVATED, QUEUED}:
            return LEFT, f"it is {status} there: take it later"
        if local.image is None or local.taken is None or not local.changed:
            return await self._import(image_id, local, record)
        await self._follow_members(local.image, local.taken, record)
        there = record.row["updated_at"] != local.taken.updated_at
        return (LEFT, "it was changed there and here") if there else (KNOWN, "it was changed here")

    async def _import(self, image_id: str, local: _Local, record: Record) -> tuple[str, str]:
        blobs, problems = await self._find_bytes(image_id, local, record)
        if problems and not blobs:
            return LEFT, "; ".join(problems)
        image = _image(image_id, record, tuple(dict.fromkeys(blob.store for blob in blobs)))
        detail = "; ".join(f"a copy was left: {problem}" for problem in problems)
        if (
            local.image is not None
            and local.taken is not None
            and replace(local.image, version=image.version, failure=None) == image
        ):
            changed = await self._follow_members(local.image, local.taken, record)
            return UPDATED if changed else KNOWN, detail
        if not self.dry_run:
            async with self._database.write(durable=True) as tx:
                await self._write(tx, local, image, record, blobs)
        if local.image is None or local.taken is None:
            return TAKEN, detail
        await self._follow_members(image, TakenOver(image.updated_at, local.taken.members), record)
        return UPDATED, detail

    async def _find_bytes(self, image_id: str, local: _Local, record: Record) -> tuple[list[Blob], list[str]]:
        """Return the copies that exist, or did at the last import, and the problems with others."""
        found: dict[str, Blob] = {}
        problems = []
        for location in record.locations:
            blob = self._blob(image_id, location)
            if isinstance(blob, str):
                problems.append(blob)
                continue
            problem = await self._problem(blob, record)
            if problem is None or any(known.id == blob.id for known in local.blobs):
                found[blob.id] = blob
            if problem is not None:
                problems.append(problem)
        return list(found.values()), problems

    def _blob(self, image_id: str, location: Location) -> Blob | str:
        """Return a copy's blob, or the reason why it cannot be imported.

        Glance's stores name bytes by their image. Bytes with another name were added as a location and may
        belong to another image as well, so deleting one image must not delete them.
        """
        place = place_of(location.value)
        if location.status != "active":
            return f"a location is {location.status}"
        if place is None:
            return f"no store here is of the kind of {location.value.partition(':')[0][:20]} locations"
        store = self._homes.get((place.kind, place.within))
        if store is None:
            return f"no store here is the {place.kind} store {place.within}"
        if place.name.lower() != image_id:
            return f"its bytes in store '{store}' have a name of their own"
        return Blob(str(uuid.uuid5(_BLOBS, f"{store}/{place.name}")), store, image_id, READY, place.name)

    async def _problem(self, blob: Blob, record: Record) -> str | None:
        try:
            size = await self._stores[blob.store].size(blob.key)
        except TintypeError as error:
            return error.message
        if size is None:
            return f"no bytes of it in store '{blob.store}'"
        if record.row["size"] is not None and size != record.row["size"]:
            return f"{size} bytes instead of {record.row['size']} in store '{blob.store}'"
        return None

    async def _follow_deletion(self, image_id: str, local: _Local, record: Record) -> tuple[str, str]:
        """Delete an image that was deleted in Glance, and keep its id from being reused."""
        if local.deleted:
            return KNOWN, ""
        if local.changed:
            return LEFT, "it was deleted there and changed here: it stays"
        if not self.dry_run:
            async with self._database.write() as tx:
                if local.image is None:
                    await image_rows.reserve_id(tx, image_id, record.row["deleted_at"] or now())
                elif await image_rows.remove(tx, local.image, now()):
                    for blob in local.blobs:
                        await blob_rows.remove(tx, blob.id)  # the bytes were Glance's to delete
                    await rows.remove(tx, image_id)
                else:
                    raise Conflict("it was changed here at the same time")
        return DELETED, ""

    async def _follow_members(self, image: Image, taken: TakenOver, record: Record) -> bool:
        """Apply the changes of members in Glance since the last import; return False if there are none."""
        theirs = {each.id: each.status for each in record.members}
        if theirs == taken.members:
            return False
        if not self.dry_run:
            async with self._database.write(durable=True) as tx:
                here = {member.member_id for member in await member_rows.of_image(tx, image.id)}
                for gone in taken.members.keys() - theirs.keys():
                    await member_rows.remove(tx, image.id, gone)
                for each in record.members:
                    if taken.members.get(each.id) != each.status:
                        member = Member(image.id, each.id, each.status, each.created_at, each.updated_at)
                        change = member_rows.set_status if each.id in here else member_rows.add
                        await change(tx, member)
                await rows.record(tx, image.id, TakenOver(taken.updated_at, theirs))
        return True

    async def _write(
        self, tx: Transaction, local: _Local, image: Image, record: Record, blobs: Sequence[Blob]
    ) -> None:
        if local.image is None:
            await image_rows.add(tx, image)
            for each in record.members:
                member = Member(image.id, each.id, each.status, each.created_at, each.updated_at)
                await member_rows.add(tx, member)
        elif not await image_rows.save(tx, local.image, image):
            raise Conflict("it was changed here at the same time")
        known = {blob.id for blob in local.blobs}
        for blob in blobs:
            if blob.id not in known:
                size = image.size or 0
                await blob_rows.adopt(tx, blob, size=size, digests=_digests(image), now=now())
        for gone in known - {blob.id for blob in blobs}:
            await blob_rows.remove(tx, gone)
        members = {each.id: each.status for each in record.members}
        if local.taken is not None:  # members are synchronized, and recorded, separately
            members = local.taken.members
        await rows.record(tx, image.id, TakenOver(image.updated_at, members))


def _image(image_id: str, record: Record, stores: tuple[str, ...]) -> Image:
    row = dict(record.row)
    if not _HEX.fullmatch(row["checksum"] or ""):
        row["checksum"] = None
    if (
        not _HEX.fullmatch(row["os_hash_value"] or "")
        or row["os_hash_algo"] not in hashlib.algorithms_available
    ):
        row["os_hash_algo"] = row["os_hash_value"] = None
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


def _digests(image: Image) -> str | None:
    if not image.checksum or not image.os_hash_value:
        return None
    digests = Digests(
        image.size or 0, image.checksum, image.os_hash_algo or "", image.os_hash_value, image.virtual_size
    )
    return msgspec.json.encode(digests).decode()
