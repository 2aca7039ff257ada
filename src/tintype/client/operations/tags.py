"""Tags of images."""

from tintype.client.requests import Request, nothing, path


def add(image_id: str, tag: str) -> Request[None]:
    """Put a tag on an image."""
    return Request("PUT", path("v2", "images", image_id, "tags", tag), nothing)


def remove(image_id: str, tag: str) -> Request[None]:
    """Take a tag off an image. Raises NotFound where it has none such."""
    return Request("DELETE", path("v2", "images", image_id, "tags", tag), nothing)
