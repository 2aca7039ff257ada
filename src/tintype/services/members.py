"""Sharing images: the owner adds and removes member projects, a member accepts or rejects."""

from collections.abc import Sequence

import msgspec

from tintype.db import members as rows
from tintype.db.engine import Database, fetch, now
from tintype.domain import members
from tintype.domain.callers import Caller
from tintype.domain.images import Image, Limits
from tintype.domain.members import Member
from tintype.errors import Conflict, Forbidden, NotFound, OverLimit
from tintype.services.access import ImageAccess


class Members:
    """The use cases. Only images of visibility `shared` have members."""

    def __init__(self, database: Database, access: ImageAccess, limits: Limits) -> None:
        self._database = database
        self._policy = access.policy
        self._access = access
        self._limits = limits

    async def list(self, caller: Caller, image_id: str) -> list[Member]:
        """Return all members to the owner; a member sees only itself."""
        image = await self._shared(caller, image_id)
        self._policy.require("get_members", caller, image.target())
        if not self._policy.allows("get_member", caller, image.target()):
            return []
        async with self._database.read() as tx:
            if members.sees_all_members(image, caller):
                return await rows.of_image(tx, image.id)
            own = await rows.get(tx, image.id, caller.project_id or "")
            return [] if own is None else [own]

    async def of_project(self, caller: Caller, most: int) -> Sequence[Member]:
        """Return the memberships of the caller's project, pending ones first.

        The images may no longer be shared or visible: check each.
        """
        if caller.project_id is None:
            return []
        return await fetch(self._database, rows.of_project, caller.project_id, most)

    async def show(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """Return one member. Raises NotFound for any that the caller cannot see."""
        try:
            image = await self._shared(caller, image_id)
            return await self._find(caller, image, member_id)
        except Forbidden as error:
            raise NotFound(error.message) from None

    async def add(self, caller: Caller, image_id: str, member_id: str) -> Member:
        """Share an image; the member is `pending` until its project accepts or rejects."""
        created = now()
        async with self._database.write() as tx:
            image = self._checked(caller, await self._access.get_locked(tx, caller, image_id))
            self._policy.require("add_member", caller, image.target())
            if await rows.get(tx, image.id, member_id) is not None:
                raise Conflict(f"Member {member_id} is duplicated for image {image.id}")
            if await rows.count(tx, image.id) >= self._limits.members:
                raise OverLimit(f"An image may have {self._limits.members} members at most.")
            member = Member(image.id, member_id, "pending", created, created)
            await rows.add(tx, member)
        return member

    async def update(self, caller: Caller, image_id: str, member_id: str, status: str) -> Member:
        """Set the status of a member: the member project accepts or rejects the image."""
        image = await self._shared(caller, image_id)
        member = await self._find(caller, image, member_id)
        self._policy.require("modify_member", caller, image.target())
        member = msgspec.structs.replace(member, status=status, updated_at=now())
        async with self._database.write() as tx:
            if not await rows.set_status(tx, member):
                raise _no_member(image, member_id)
        return member

    async def remove(self, caller: Caller, image_id: str, member_id: str) -> None:
        """Stop sharing an image with one project."""
        image = await self._shared(caller, image_id)
        await self._find(caller, image, member_id)
        self._policy.require("delete_member", caller, image.target())
        async with self._database.write() as tx:
            if not await rows.remove(tx, image.id, member_id):
                raise _no_member(image, member_id)

    async def _shared(self, caller: Caller, image_id: str) -> Image:
        return self._checked(caller, await self._access.get(caller, image_id))

    def _checked(self, caller: Caller, image: Image) -> Image:
        """Return the image. Raises NotFound if `get_image` hides it, Forbidden if it cannot have members."""
        self._access.authorize("get_image", caller, image)
        members.check_shareable(image)
        return image

    async def _find(self, caller: Caller, image: Image, member_id: str) -> Member:
        """Return a member that the caller can see: only the owner sees members other than itself."""
        self._policy.require("get_member", caller, image.target())
        member = None
        if members.sees_all_members(image, caller) or member_id == caller.project_id:
            member = await fetch(self._database, rows.get, image.id, member_id)
        if member is None:
            raise _no_member(image, member_id)
        return member


def _no_member(image: Image, member_id: str) -> NotFound:
    return NotFound(f"{member_id} not found in the member list of the image {image.id}.")
