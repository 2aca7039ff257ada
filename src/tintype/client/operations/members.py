"""Members: projects that an image is shared with."""

from tintype.client.models import Member
from tintype.client.requests import Request, many, nothing, one, path


def list_(image_id: str) -> Request[list[Member]]:
    """List the members of an image; a member sees only itself."""
    return Request("GET", path("v2", "images", image_id, "members"), many(Member, "members"))


def get(image_id: str, member_id: str) -> Request[Member]:
    """Return a member of an image."""
    return Request("GET", path("v2", "images", image_id, "members", member_id), one(Member))


def create(image_id: str, member_id: str) -> Request[Member]:
    """Share an image with the project `member_id`.

    Raises Forbidden, Conflict (shared already, or not shareable).
    """
    return Request("POST", path("v2", "images", image_id, "members"), one(Member), body={"member": member_id})


def update(image_id: str, member_id: str, status: str) -> Request[Member]:
    """Set the status of an image shared with the caller's project: `accepted`, `rejected` or `pending`."""
    return Request(
        "PUT", path("v2", "images", image_id, "members", member_id), one(Member), body={"status": status}
    )


def delete(image_id: str, member_id: str) -> Request[None]:
    """Stop sharing an image with a project."""
    return Request("DELETE", path("v2", "images", image_id, "members", member_id), nothing)
