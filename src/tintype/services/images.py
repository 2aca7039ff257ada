"""Images: create, show, list, update, tag, delete, deactivate and reactivate."""

import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import listing
from tintype.db.engine import Database, fetch, now
from tintype.domain import images, patch, quotas
from tintype.domain.callers import Caller
from tintype.domain.images import DEACTIVATED, Image, Limits
from tintype.domain.metadefs import Definition
from tintype.domain.patch import Change
from tintype.domain.query import Query
from tintype.domain.stores import in_order
from tintype.errors import Forbidden, Invalid, NotFound
from tintype.policy.properties import Protections
from tintype.policy.rules import OF_VISIBILITY
from tintype.services.access import ImageAccess, contended
from tintype.services.copies import Copies
from tintype.services.paging import Page, read_page
from tintype.services.property_checks import PropertyCheck
from tintype.services.quotas import enforce_quota, quota_turn
from tintype.services.wakeups import Wakeup


class ShownImage(msgspec.Struct, frozen=True):
    """An image as the caller may see it."""

    image: Image
    locations: Sequence[Mapping[str, Any]] = ()
    """Where its bytes are, if the settings show locations."""
    warnings: Sequence[str] = ()
    """Violations of property definitions by the values that were just set."""


Locate = Callable[[Caller, Sequence[Image]], Awaitable[Mapping[str, Sequence[Mapping[str, Any]]]]]
"""Returns the locations of images that the caller can see, by image id."""


@dataclass
class Images:
    """The use cases. Each raises NotFound for an image that is not visible to the caller."""

    _database: Database
    _access: ImageAccess
    _protections: Protections | None
    _limits: Limits
    _copies: Copies
    _check: PropertyCheck | None
    _condemned: Wakeup
    """Wakes the sweeper."""
    _locate: Locate | None
    """None if images are shown without locations."""

    async def create(self, caller: Caller, attributes: Mapping[str, Any]) -> ShownImage:
        """Create an image record without data. Raises Invalid for properties that are refused."""
        image = images.new_image(
            attributes, image_id=str(uuid.uuid4()), owner=caller.project_id, now=now(), limits=self._limits
        )
        target = image.target()
        for_others = image.owner != caller.project_id
        if for_others and not (caller.is_admin and self._access.policy.allows("add_image", caller, target)):
            raise Forbidden(f"You are not permitted to create images owned by '{image.owner}'")
        self._access.policy.require("add_image", caller, target)
        self._require_visibility(caller, image.visibility, target)
        if self._protections is not None:
            self._protections.check_new(image, caller)
        warnings: Sequence[str] = ()
        if self._check is not None:
            warnings = self._check.check(image.properties, await self._check.definitions())
        async with self._database.write(single=True, turn=quota_turn(caller)) as tx:
            await image_rows.add(tx, image)
            await enforce_quota(tx, caller, image.owner, quotas.COUNT)
        return ShownImage(self._visible_to(caller, image), warnings=warnings)  # no data yet

    def check_may_create(self, caller: Caller) -> None:
        """Raise Forbidden if the caller may not create images in its own project."""
        self._access.policy.require(
            "add_image", caller, {"project_id": caller.project_id, "owner": caller.project_id}
        )

    async def show(self, caller: Caller, image_id: str) -> ShownImage:
        """Return one image."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("get_image", caller, image)
        (shown,) = await self.present(caller, [image])
        return shown

    async def show_visible(self, caller: Caller, image_ids: Sequence[str]) -> Sequence[ShownImage]:
        """Return those of some images that the caller may see."""
        found = []
        for image_id in image_ids:
            with contextlib.suppress(NotFound):
                image = await self._access.get(caller, image_id)
                self._access.authorize("get_image", caller, image)
                found.append(image)
        return await self.present(caller, found)

    async def list(self, caller: Caller, query: Query) -> Page[ShownImage]:
        """Return a page of the images that the caller may list.

        Raises Invalid if the marker is not an image that is visible to the caller.
        """
        self._access.policy.require("get_images", caller, {"project_id": caller.project_id})
        if self._protections is not None and not self._protections.readable(query.properties, caller):
            return Page()  # which images have a value is as secret as the value
        async with self._database.read() as tx:
            marker = None
            if query.marker is not None:
                marker = await image_rows.get(tx, query.marker.lower(), caller.project_id)
                if marker is None or not images.visible(marker, caller):
                    raise Invalid(f"No image found with ID {query.marker}")
            page = await read_page(
                lambda limit, marker: listing.page(tx, caller, replace(query, limit=limit), marker),
                lambda image: self._access.policy.allows("get_image", caller, image.target()),
                query.limit,
                marker,
            )
        last = None if page.last is None else ShownImage(page.last)
        return Page(await self.present(caller, page.items), last)

    async def update(self, caller: Caller, image_id: str, changes: Sequence[Change]) -> ShownImage:
        """Apply all changes or none. Raises Invalid for properties that are refused."""
        return await self._update(caller, image_id, lambda _image: changes)

    async def update_shown(
        self, caller: Caller, image_id: str, compare: Callable[[Image], Sequence[Change]]
    ) -> ShownImage:
        """Apply the changes that `compare` returns for the image as the caller sees it."""

        def choose(image: Image) -> Sequence[Change]:
            self._access.authorize("get_image", caller, image)
            return compare(self._visible_to(caller, image))

        return await self._update(caller, image_id, choose)

    async def _update(
        self, caller: Caller, image_id: str, choose: Callable[[Image], Sequence[Change]]
    ) -> ShownImage:
        definitions: Mapping[str, Sequence[Definition]] = {}
        if self._check is not None:
            before = await self._access.get(caller, image_id)
            if any(change.op != "remove" for change in choose(before)):
                self._access.authorize("modify_image", caller, before)
                definitions = await self._check.definitions()
        warnings: Sequence[str] = ()

        def decide(image: Image) -> Image:
            nonlocal warnings
            changes = choose(image)
            self._access.authorize("modify_image" if changes else "get_image", caller, image)
            if not changes:
                return image
            if self._check is not None:
                values = {change.name: change.value for change in changes if change.op != "remove"}
                warnings = self._check.check(values, definitions)
            for change in changes:
                if change.name == "owner" and change.op != "remove" and not caller.is_admin:
                    raise Forbidden("Owner can't be updated by non admin.")
                if change.name == "visibility" and change.op != "remove":
                    self._require_visibility(caller, change.value, image.target())
            if self._protections is not None:
                return self._protections.apply(image, changes, self._limits, caller)
            return patch.apply(image, changes, self._limits)

        image = await self.change(caller, image_id, decide)
        (shown,) = await self.present(caller, [image], warnings)
        return shown

    async def deactivate(self, caller: Caller, image_id: str) -> None:
        """Deny access to an active image's data."""
        await self._switch(caller, image_id, "deactivate", images.deactivated)

    async def reactivate(self, caller: Caller, image_id: str) -> None:
        """Allow access to a deactivated image's data again."""
        await self._switch(caller, image_id, "reactivate", images.reactivated)

    async def add_tag(self, caller: Caller, image_id: str, tag: str) -> None:
        """Add a tag to an image; do nothing if it has the tag."""
        images.check_tag(tag)

        def tagged(image: Image) -> Image:
            if tag in image.tags:
                return image
            return replace(image, tags=images.checked_tags((*image.tags, tag), self._limits))

        await self._switch(caller, image_id, "modify_image", tagged)

    async def remove_tag(self, caller: Caller, image_id: str, tag: str) -> None:
        """Remove a tag from an image. Raises NotFound if the image does not have it."""

        def untagged(image: Image) -> Image:
            if tag not in image.tags:
                raise NotFound(f"Image {image_id} has no tag '{tag}'.")
            return replace(image, tags=tuple(other for other in image.tags if other != tag))

        await self._switch(caller, image_id, "modify_image", untagged)

    async def _switch(self, caller: Caller, image_id: str, rule: str, turn: Callable[[Image], Image]) -> None:
        def decide(image: Image) -> Image:
            self._access.authorize(rule, caller, image)
            return turn(image)

        await self.change(caller, image_id, decide)

    async def delete(self, caller: Caller, image_id: str) -> None:
        """Delete an image and condemn its blobs in one transaction; the sweeper deletes the bytes.

        Raises Conflict if a store has clones that still depend on the bytes.
        """
        image = await self._access.get(caller, image_id)
        self._check_deletable(caller, image)
        await self._check_unused(image)
        async with self._database.write(durable=True) as tx:
            if not await image_rows.remove(tx, image, now()):  # changed meanwhile
                image = await self._access.get_locked(tx, caller, image_id)
                self._check_deletable(caller, image)
                if not await image_rows.remove(tx, image, now()):
                    raise contended(image_id)
            await blob_rows.condemn_all_of(tx, image.id)
        self._condemned.wake()

    async def change(self, caller: Caller, image_id: str, decide: Callable[[Image], Image]) -> Image:
        """Load, decide, save; after a concurrent change decide again under a lock.

        `decide` returns the changed image, or the same object for no change.
        """
        before = await self._access.get(caller, image_id)
        after = self._decided(before, decide)
        if after is before:
            return before
        async with self._database.write(single=True) as tx:
            if await image_rows.save(tx, before, after):
                return after
        async with self._database.write() as tx:
            before = await self._access.get_locked(tx, caller, image_id)
            after = self._decided(before, decide)
            if after is before or await image_rows.save(tx, before, after):
                return after
        raise contended(image_id)

    async def present(
        self, caller: Caller, images: Sequence[Image], warnings: Sequence[str] = ()
    ) -> Sequence[ShownImage]:
        """Return images as the caller may see them."""
        seen = [self._visible_to(caller, image) for image in images]
        places = {} if self._locate is None else await self._locate(caller, seen)
        return [ShownImage(image, places.get(image.id, ()), warnings) for image in seen]

    def _visible_to(self, caller: Caller, image: Image) -> Image:
        """Return what the caller may see of an image: as in Glance, no stores of a deactivated one."""
        if image.status == DEACTIVATED and not caller.is_admin:
            image = replace(image, stores=())
        elif len(image.stores) > 1:  # weights may have changed since the row was written
            image = replace(image, stores=in_order(image.stores, self._copies.infos))
        return image if self._protections is None else self._protections.visible(image, caller)

    @staticmethod
    def _decided(before: Image, decide: Callable[[Image], Image]) -> Image:
        after = decide(before)
        if after is before:
            return before
        return replace(after, updated_at=max(now(), before.updated_at))

    def _check_deletable(self, caller: Caller, image: Image) -> None:
        self._access.authorize("delete_image", caller, image)
        images.check_deletable(image)

    async def _check_unused(self, image: Image) -> None:
        if self._copies.may_be_in_use(image.stores):
            blobs = await fetch(self._database, blob_rows.ready_of, image.id)
            for blob in blobs:
                await self._copies.check_unused(blob)

    def _require_visibility(self, caller: Caller, visibility: str, target: Mapping[str, Any]) -> None:
        if rule := OF_VISIBILITY.get(visibility):
            self._access.policy.require(rule, caller, target)
