"""Access to images: load by visibility, then authorize by the policy rule of the route.

Visibility is decided by the database and `domain/images.py`: own, public, community by its id, shared with
the caller's project, or everything for an admin. Policy rules come on top of it, in Glance's order.
"""

from typing import Final

from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction
from tintype.domain import images
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.errors import Conflict, NotFound
from tintype.policy.engine import Policy

_OWNERS: Final = frozenset(
    {
        *("modify_image", "delete_image", "upload_image", "deactivate", "reactivate"),
        *("set_image_location", "delete_image_location"),
    }
)
"""Rules that may narrow who changes an image, but cannot open it to others than its owner and admins."""


class ImageAccess:
    """Loads images for callers, and authorizes what they do with them."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self.policy = policy
        self._database = database

    async def get(self, caller: Caller, image_id: str) -> Image:
        """Return an image that is visible to the caller. Raises NotFound for any other."""
        image = await image_rows.find(self._database, image_id.lower(), caller.project_id)
        return self._visible(caller, image_id, image)

    async def get_locked(self, tx: Transaction, caller: Caller, image_id: str) -> Image:
        """Return it inside a write transaction and lock it until the transaction ends."""
        image = await image_rows.get(tx, image_id.lower(), caller.project_id, lock=True)
        return self._visible(caller, image_id, image)

    def authorize(self, rule: str, caller: Caller, image: Image) -> None:
        """Raise Forbidden unless the rule allows it, or NotFound if `get_image` denies access as well."""
        target = image.target()
        if not self.policy.allows(rule, caller, target):
            self.conceal(rule, caller, image)
            self.policy.require(rule, caller, target)
        if rule in _OWNERS:
            images.check_changeable_by(caller, image)

    def conceal(self, rule: str, caller: Caller, image: Image) -> None:
        """Raise NotFound if both the rule and `get_image` deny the caller.

        Call this before reporting the image's state where Glance reports the state before checking the rule.
        """
        target = image.target()
        if not self.policy.allows(rule, caller, target) and not self.policy.allows(
            "get_image", caller, target
        ):
            raise not_found(image.id)

    @staticmethod
    def _visible(caller: Caller, image_id: str, image: Image | None) -> Image:
        if image is None or not images.visible(image, caller):
            raise not_found(image_id)
        return image


def not_found(image_id: str) -> NotFound:
    """Return the error for an image that does not exist or is not visible to the caller."""
    return NotFound(f"No image found with ID {image_id}")


def contended(image_id: str) -> Conflict:
    """Return the error for an image that another transaction has changed meanwhile."""
    return Conflict(f"Image {image_id} was changed by others at the same time. Try again.")
