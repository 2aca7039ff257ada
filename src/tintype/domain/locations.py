"""Locations: URLs of bytes that services, and users if enabled, add to an image."""

from typing import Any

import msgspec

from tintype.domain.addresses import LONGEST
from tintype.domain.images import QUEUED, Image
from tintype.domain.imports import checked_digest
from tintype.errors import Conflict, Invalid


class Location(msgspec.Struct, frozen=True):
    """A location to be added, with the declared digests of its bytes."""

    url: str
    metadata: dict[str, Any] = {}
    checksum: str | None = None
    algorithm: str | None = None
    digest: str | None = None


def parse(body: Any) -> Location:
    """Parse the body of a request to add a location (Image API 2.17). Raises Invalid."""
    if not isinstance(body, dict) or not isinstance(body.get("url"), str):
        raise Invalid('A location is written like: {"url": "https://…"}')
    unknown = sorted(set(body) - {"url", "metadata", "validation_data"})
    if unknown:
        raise Invalid(f"A location has no '{unknown[0]}'.")
    if not 0 < len(body["url"]) <= LONGEST:
        raise Invalid(
            f"The URL of a location must have 1 to {LONGEST} characters; it has {len(body['url'])}."
        )
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Invalid("The metadata of a location must be an object.")
    location = Location(body["url"], metadata)
    known = body.get("validation_data", {})
    if not isinstance(known, dict) or set(known) - {"checksum", "os_hash_algo", "os_hash_value"}:
        raise Invalid("validation_data has os_hash_algo, os_hash_value and perhaps checksum.")
    if not known:
        return location
    if not {"os_hash_algo", "os_hash_value"} <= set(known) or not all(
        isinstance(each, str) for each in known.values()
    ):
        raise Invalid("validation_data needs both os_hash_algo and os_hash_value, as strings.")
    return msgspec.structs.replace(
        location,
        algorithm=known["os_hash_algo"],
        digest=known["os_hash_value"].lower(),
        checksum=None if "checksum" not in known else known["checksum"].lower(),
    )


def check_digests(location: Location) -> None:
    """Raise Invalid for digests that do not fit their algorithms."""
    if location.digest is not None:
        checked_digest(location.algorithm, location.digest)
    if location.checksum is not None:
        checked_digest("md5", location.checksum)


def check_queued(image: Image) -> None:
    """Raise Conflict if the image has data, or a task is filling it."""
    if image.status != QUEUED:
        raise Conflict(f"It's not allowed to add locations if image status is {image.status}.")
    if image.import_task is not None:
        raise Conflict(f"A task is at work on the image '{image.id}' already: {image.import_task}.")
