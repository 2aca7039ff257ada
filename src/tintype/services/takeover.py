"""Taking images over from a Glance: their rows become ours, their bytes stay where they are.

May be repeated: what has changed only there since is brought up to date, what was changed here is left
as it is, and what was changed on both sides is told. Members are brought up to date by themselves: who
was shut out there is shut out here. No bytes are ever deleted by it.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

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
"""Under which the ids of blobs are made from their places: the same ones each time."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one image, and what there is to say about it."""

    image_id: str
    name: str
    what: str
    detail: str = ""


class _Mine(msgspec.Struct, frozen=True):
    """What there is here of an image."""

    image: Image | None
    taken: TakenOver | None
    buried: bool
    blobs: tuple[Blob, ...]

    @property
    def changed(self) -> bool:
        """Whether it was changed here since it was taken over."""
        return self.image is not None and (
            self.taken is None or self.image.updated_at != self.taken.updated_at
        )


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
        try:
            mine = await self._load(image_id)
            what, detail = await self._decide(image_id, mine, record)
        except (TintypeError, Violation) as error:
            what, detail = LEFT, str(error)
        return Outcome(image_id, record.row["name"] or "", what, detail)

    async def _load(self, image_id: str) -> _Mine:
        async with self._database.read() as tx:
            image = await image_rows.get(tx, image_id, None)
            return _Mine(
                image,
                await rows.get(tx, image_id),
                image is None and await image_rows.is_reserved(tx, image_id),
                tuple(await blob_rows.ready_of(tx, image_id)),
            )

    async def _decide(self, image_id: str, mine: _Mine, record: Record) -> tuple[str, str]:
        status = record.row["status"]
        if mine.image is not None and mine.taken is None:
            return LEFT, "another image has this id here"
        if record.row["deleted"]:
            return await self._follow_deletion(image_id, mine, record)
        if mine.buried:
            return KNOWN, "it was deleted here"
        if status not in {ACTIVE, DEACTIVATED, QUEUED}:
            return LEFT, f"it is {status} there: take it later"
        if mine.image is None or mine.taken is None or not mine.changed:
            return await self._take(image_id, mine, record)
        await self._follow_members(mine.image, mine.taken, record)
        there = record.row["updated_at"] != mine.taken.updated_at
        return (LEFT, "it was changed there and here") if there else (KNOWN, "it was changed here")

    async def _take(self, image_id: str, mine: _Mine, record: Record) -> tuple[str, str]:
        blobs, problems = await self._find_bytes(image_id, mine, record)
        if problems and not blobs:
            return LEFT, "; ".join(problems)
        image = _image(image_id, record, tuple(dict.fromkeys(blob.store for blob in blobs)))
        detail = "; ".join(f"a copy was left: {problem}" for problem in problems)
        if mine.image is not None and mine.taken is not None and _same(mine.image, image):
            changed = await self._follow_members(mine.image, mine.taken, record)
            return UPDATED if changed else KNOWN, detail
        if not self._dry_run:
            async with self._database.write(durable=True) as tx:
                await self._write(tx, mine, image, record, blobs)
        if mine.image is None or mine.taken is None:
            return TAKEN, detail
        await self._follow_members(image, TakenOver(image.updated_at, mine.taken.members), record)
        return UPDATED, detail

    async def _find_bytes(self, image_id: str, mine: _Mine, record: Record) -> tuple[list[Blob], list[str]]:
        """Give the copies that are there, or were when last looked at, and what is wrong with others."""
        found: dict[str, Blob] = {}
        problems = []
        for location in record.locations:
            blob = self._blob(image_id, location)
            if isinstance(blob, str):
                problems.append(blob)
                continue
            problem = await self._problem(blob, record)
            if problem is None or any(known.id == blob.id for known in mine.blobs):
                found[blob.id] = blob
            if problem is not None:
                problems.append(problem)
        return list(found.values()), problems

    def _blob(self, image_id: str, location: Location) -> Blob | str:
        """Give a copy's blob, or why it is none.

        Glance's stores name bytes by their image. What has another name was put there through locations
        and may be another image's: who deletes the one must not delete the other.
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

    async def _follow_deletion(self, image_id: str, mine: _Mine, record: Record) -> tuple[str, str]:
        """Delete what was deleted there; an id that was in use is never given again."""
        if mine.buried:
            return KNOWN, ""
        if mine.changed:
            return LEFT, "it was deleted there and changed here: it stays"
        if not self._dry_run:
            async with self._database.write() as tx:
                if mine.image is None:
                    await image_rows.reserve_id(tx, image_id, record.row["deleted_at"] or now())
                elif await image_rows.remove(tx, mine.image, now()):
                    for blob in mine.blobs:
                        await blob_rows.remove(tx, blob.id)  # the bytes were Glance's to delete
                    await rows.remove(tx, image_id)
                else:
                    raise Conflict("it was changed here at the same time")
        return DELETED, ""

    async def _follow_members(self, image: Image, taken: TakenOver, record: Record) -> bool:
        """Do to the members what was done to them there since; False where that is nothing."""
        theirs = {each.id: each.status for each in record.members}
        if theirs == taken.members:
            return False
        if not self._dry_run:
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
        self, tx: Transaction, mine: _Mine, image: Image, record: Record, blobs: Sequence[Blob]
    ) -> None:
        if mine.image is None:
            await image_rows.add(tx, image)
            for each in record.members:
                member = Member(image.id, each.id, each.status, each.created_at, each.updated_at)
                await member_rows.add(tx, member)
        elif not await image_rows.save(tx, mine.image, image):
            raise Conflict("it was changed here at the same time")
        known = {blob.id for blob in mine.blobs}
        for blob in blobs:
            if blob.id not in known:
                size = image.size or 0
                await blob_rows.adopt(tx, blob, size=size, digests=_digests(image), now=now())
        for gone in known - {blob.id for blob in blobs}:
            await blob_rows.remove(tx, gone)
        members = {each.id: each.status for each in record.members}
        if mine.taken is not None:  # those are followed by themselves, and noted then
            members = mine.taken.members
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


def _same(before: Image, image: Image) -> bool:
    return msgspec.structs.replace(before, version=image.version, failure=None) == image


def _digests(image: Image) -> str | None:
    if not image.checksum or not image.os_hash_value:
        return None
    digests = Digests(
        image.size or 0, image.checksum, image.os_hash_algo or "", image.os_hash_value, image.virtual_size
    )
    return msgspec.json.encode(digests).decode()
