"""Members of shared images, and their status."""

from typing import Any, Final

import msgspec

from tintype.domain.callers import Caller
from tintype.domain.images import NAME_LIMIT, Image
from tintype.errors import Forbidden, Invalid

STATUSES: Final = ("pending", "accepted", "rejected")


class Member(msgspec.Struct, frozen=True):
    """A project that an image is shared with. Times are microseconds since the epoch."""

    image_id: str
    member_id: str
    status: str
    created_at: int
    updated_at: int


def checked_member_id(body: Any) -> str:
    """Return the project id in a request to add a member. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid('Expected a member in the form: {"member": "project id"}')
    if "member" not in body:
        raise Invalid("Member to be added not specified")
    member = body["member"]
    if not isinstance(member, str) or not member:
        raise Invalid("The member must be a project id: a string that is not empty.")
    if len(member) > NAME_LIMIT or "\0" in member:
        raise Invalid(f"The member must be a project id of at most {NAME_LIMIT} characters.")
    return member


def checked_status(body: Any) -> str:
    """Return the status in a request to update a member. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid('Expected a status in the form: {"status": "accepted"}')
    if "status" not in body:
        raise Invalid("Status not specified")
    status = body["status"]
    if not isinstance(status, str) or status not in STATUSES:
        raise Invalid(f"The status must be one of: {', '.join(STATUSES)}.")
    return status


def check_shareable(image: Image) -> None:
    """Raise Forbidden unless the image's visibility is `shared`."""
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")


def sees_all_members(image: Image, caller: Caller) -> bool:
    """Return whether the caller sees all members; a member sees only itself."""
    return caller.is_admin or image.owner == caller.project_id
