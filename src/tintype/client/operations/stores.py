"""Stores of image data."""

from tintype.client.models import Store
from tintype.client.requests import Request, many, nothing, path


def list_() -> Request[list[Store]]:
    """List the stores, with the default one marked. Raises NotFound if the server has one unnamed store."""
    return Request("GET", "/v2/info/stores", many(Store, "stores"))


def list_detailed() -> Request[list[Store]]:
    """List the stores with details; for operators."""
    return Request("GET", "/v2/info/stores/detail", many(Store, "stores"))


def delete_copy(store_id: str, image_id: str) -> Request[None]:
    """Delete an image's copy from a store. Raises Forbidden or Conflict for its last one."""
    return Request("DELETE", path("v2", "stores", store_id, image_id), nothing)
