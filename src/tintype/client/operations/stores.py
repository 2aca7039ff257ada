"""Stores: where bytes are."""

from tintype.client.models import Store
from tintype.client.requests import Request, many, nothing, path


def list_() -> Request[list[Store]]:
    """Name the stores, the default one among them. Raises NotFound where the server has only one, unnamed."""
    return Request("GET", "/v2/info/stores", many(Store, "stores"))


def list_detailed() -> Request[list[Store]]:
    """Describe the stores: an operator's business."""
    return Request("GET", "/v2/info/stores/detail", many(Store, "stores"))


def delete_copy(store_id: str, image_id: str) -> Request[None]:
    """Take an image's copy out of a store. Raises Forbidden or Conflict for its last one."""
    return Request("DELETE", path("v2", "stores", store_id, image_id), nothing)
