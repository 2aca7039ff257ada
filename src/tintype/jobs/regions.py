"""Image services of other regions, from which images are imported with their bytes (glance-download)."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

import msgspec

from tintype.blobs.downloads import Download
from tintype.blobs.pace import Pace, paced
from tintype.blobs.web import Web
from tintype.db import blobs as blob_rows
from tintype.db.engine import Database, fetch
from tintype.domain.images import ACTIVE, BASE_ATTRIBUTES
from tintype.domain.imports import Import
from tintype.errors import Invalid, NotFound, Unauthenticated
from tintype.jobs.attempts import Attempt
from tintype.services.access import ImageAccess
from tintype.services.copies import Copies

_INTERFACES: Final = ("public", "internal", "admin")
_DOCUMENT: Final = 8 << 20
"""The largest size of a service catalogue or an image record, in bytes."""


class Remote(msgspec.Struct, frozen=True):
    """An image of another region, and its bytes."""

    disk_format: str
    container_format: str
    properties: Mapping[str, Any]
    size: int
    expected: dict[str, str]
    """Digests in hex by algorithm."""
    chunks: AsyncIterator[bytes]


class Regions(Protocol):
    """Opens images of other regions."""

    async def open(self, attempt: Attempt, wanted: Import) -> Remote:
        """Open an image that the caller can see there. Raises Invalid, NotFound, Forbidden or Unavailable."""


class OwnRegion:
    """The only region of the built-in identity: this service's own images, by the caller's rights."""

    def __init__(
        self, database: Database, access: ImageAccess, copies: Copies, region: str, min_rate: int
    ) -> None:
        self._database = database
        self._access = access
        self._copies = copies
        self._region = region
        self._min_rate = min_rate

    async def open(self, attempt: Attempt, wanted: Import) -> Remote:
        """Open one of our own images."""
        if wanted.region != self._region or wanted.interface not in _INTERFACES:
            raise _no_service(wanted)
        image = await self._access.get(attempt.caller, wanted.remote_id or "")
        for rule in ("get_image", "download_image"):
            self._access.authorize(rule, attempt.caller, image)
        blobs = await fetch(self._database, blob_rows.ready_of, image.id)
        if image.status != ACTIVE or image.size is None or not blobs:
            raise _not_active(wanted)
        return Remote(
            image.disk_format or "",
            image.container_format or "",
            image.properties,
            image.size,
            image.digests,
            paced(self._copies.read(self._copies.ordered(blobs), 0, image.size), Pace(self._min_rate)),
        )


class KeystoneRegions:
    """The image services in the caller's Keystone catalogue, accessed with the caller's token."""

    def __init__(self, auth_url: str, web: Web, *, limit: int, seconds: float, min_rate: int) -> None:
        """Use `web`, which must not restrict the cloud's own addresses."""
        self._catalogue = f"{auth_url.rstrip('/').removesuffix('/v3')}/v3/auth/catalog"
        self._web = web
        self._limit = limit
        self._seconds = seconds
        self._min_rate = min_rate

    async def open(self, attempt: Attempt, wanted: Import) -> Remote:
        """Open an image of a service in the catalogue."""
        try:
            return await self._open({"X-Auth-Token": attempt.secret or ""}, wanted)
        except Unauthenticated:
            raise Invalid(
                f"Region '{wanted.region}': the token of the import is not accepted there, or no longer. "
                "Log in again and repeat the import."
            ) from None

    async def _open(self, headers: Mapping[str, str], wanted: Import) -> Remote:
        endpoint = await self._endpoint(headers, wanted)
        address = f"{endpoint}/v2/images/{wanted.remote_id}"
        try:
            image = await self._web.get_json(address, headers, _DOCUMENT)
        except NotFound:
            raise Invalid(
                f"The image {wanted.remote_id} was not found in region '{wanted.region}', or you may not see "
                "it there."
            ) from None
        if (
            not isinstance(image, dict)
            or image.get("status") != ACTIVE
            or not isinstance(image.get("size"), int)
        ):
            raise _not_active(wanted)
        download = Download(
            self._web,
            f"{address}/file",
            limit=self._limit,
            seconds=self._seconds,
            min_rate=self._min_rate,
            headers=headers,
        )
        algorithm, digest = image.get("os_hash_algo"), image.get("os_hash_value")
        return Remote(
            str(image.get("disk_format") or ""),
            str(image.get("container_format") or ""),
            {name: value for name, value in image.items() if name not in BASE_ATTRIBUTES},
            image["size"],
            {algorithm: digest} if algorithm in _KNOWN and isinstance(digest, str) else {},
            await download.begin(),
        )

    async def _endpoint(self, headers: Mapping[str, str], wanted: Import) -> str:
        try:
            document = await self._web.get_json(self._catalogue, headers, _DOCUMENT)
            for service in document["catalog"]:
                for endpoint in service["endpoints"] if service["type"] == "image" else ():
                    region = endpoint.get("region_id") or endpoint.get("region")
                    if (region, endpoint["interface"]) == (wanted.region, wanted.interface):
                        return str(endpoint["url"]).rstrip("/").removesuffix("/v2")
        except (KeyError, TypeError, AttributeError, NotFound):
            message = (
                f"Region '{wanted.region}': the identity service did not return a valid service catalogue."
            )
            raise Invalid(message) from None
        raise _no_service(wanted)


_KNOWN: Final = frozenset({"sha256", "sha512", "blake2b"})


def _no_service(wanted: Import) -> Invalid:
    return Invalid(
        f"The service catalogue has no image service in region '{wanted.region}' with interface "
        f"'{wanted.interface}'."
    )


def _not_active(wanted: Import) -> Invalid:
    return Invalid(
        f"The image {wanted.remote_id} in region '{wanted.region}' has no data to copy: it is not active."
    )
