"""Locations of image data."""

from typing import Any

from tintype.client.models import Location
from tintype.client.requests import Reply, Request, models, nothing, path


def list_(image_id: str) -> Request[list[Location]]:
    """List the locations of an image's data (API 2.17); for services."""
    return Request("GET", path("v2", "images", image_id, "locations"), _locations)


def add(image_id: str, url: str, validation_data: dict[str, Any] | None = None) -> Request[None]:
    """Add a location of existing data to an image (API 2.17).

    `validation_data` may have `os_hash_algo` and `os_hash_value`.
    """
    body = {"url": url, "validation_data": {} if validation_data is None else validation_data}
    return Request("POST", path("v2", "images", image_id, "locations"), nothing, body=body)


def _locations(reply: Reply) -> list[Location]:
    return models(Location, reply.json())
