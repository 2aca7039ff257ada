"""Tags of images."""

from tintype.client.requests import Request, nothing, path


def add(image_id: str, tag: str) -> Request[None]:
    """Add a tag to an image."""
    return Request("PUT", path("v2", "images", image_id, "tags", tag), nothing)


def remove(image_id: str, tag: str) -> Request[None]:
    """Remove a tag from an image. Raises NotFound if it does not have the tag."""
    return Request("DELETE", path("v2", "images", image_id, "tags", tag), nothing)
