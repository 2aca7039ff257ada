"""Import requests and their checks. Names, order of checks and errors are Glance's."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from tintype.domain.addresses import LONGEST
from tintype.domain.images import ACTIVE, QUEUED, UPLOADING, UUID, Image
from tintype.errors import Conflict, Invalid

DIRECT: Final = "glance-direct"
WEB: Final = "web-download"
COPY: Final = "copy-image"
GLANCE: Final = "glance-download"
METHODS: Final = (DIRECT, WEB, COPY, GLANCE)
_TEXT_LIMIT: Final = 2048
_METHOD: Final = (
    "name",
    "uri",
    "expected_hash",
    "glance_region",
    "glance_image_id",
    "glance_service_interface",
)
_BODY: Final = ("stores", "all_stores", "all_stores_must_succeed")
_LENGTHS: Final = {"md5": 32, "sha256": 64, "sha512": 128}
_HEX: Final = re.compile("[0-9a-f]+")


class Import(msgspec.Struct, frozen=True):
    """An import request. `stores` is None if the request does not name any."""

    method: str
    uri: str | None = None
    expected: dict[str, str] = {}
    """Expected hex digests of the fetched bytes, by algorithm."""
    region: str | None = None
    remote_id: str | None = None
    interface: str = "public"
    stores: tuple[str, ...] | None = None
    all_stores: bool = False
    must_succeed: bool = True
    """Whether the import fails if one of its stores does."""


def parse(body: Any, header_store: str | None, methods: Collection[str]) -> Import:
    """Parse the body of an import request. Raises Invalid if it is malformed."""
    if not isinstance(body, dict) or "method" not in body:
        raise Invalid("Import request requires a 'method' field.")
    method = body["method"]
    if not isinstance(method, dict) or "name" not in method:
        raise Invalid("Import request requires a 'name' field.")
    name = method["name"]
    if not isinstance(name, str) or name not in methods:
        raise Invalid(f"Unknown import method name '{name}'.")
    if "expected_hash" in body or ("expected_hash" in method and name != WEB):
        raise Invalid("'expected_hash' belongs in 'method', and only web-download supports it.")
    flags = {"all_stores": False, "all_stores_must_succeed": True}
    for flag, default in flags.items():
        flags[flag] = body.get(flag, default)
        if not isinstance(flags[flag], bool):
            raise Invalid(f"'{flag}' must be boolean value only")
    return Import(
        name,
        uri=_text(method, "uri", LONGEST),
        expected=expected_digest(method.get("expected_hash")),
        region=_text(method, "glance_region"),
        remote_id=_text(method, "glance_image_id"),
        interface=_text(method, "glance_service_interface") or "public",
        stores=_stores(body, header_store, all_stores=flags["all_stores"]),
        all_stores=flags["all_stores"],
        must_succeed=flags["all_stores_must_succeed"],
    )


def recorded(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a request that is stored with its task: known fields only, to limit its size."""
    method = {name: body["method"][name] for name in _METHOD if name in body["method"]}
    return {"method": method, **{name: body[name] for name in _BODY if name in body}}


def _text(method: Mapping[str, Any], name: str, limit: int = _TEXT_LIMIT) -> str | None:
    value = method.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > limit):
        raise Invalid(f"'{name}' must be a string of at most {limit} characters.")
    return value


def _stores(body: Mapping[str, Any], header_store: str | None, *, all_stores: bool) -> tuple[str, ...] | None:
    if "stores" not in body:
        if all_stores and header_store is not None:
            raise Invalid(
                "All_stores parameter can't be used with x-image-meta-store header or stores parameter"
            )
        return None if header_store is None else (header_store,)
    if all_stores:
        raise Invalid("All_stores parameter can't be used with x-image-meta-store header or stores parameter")
    if header_store is not None and body["stores"] != [header_store]:  # openstacksdk sends both
        raise Invalid("Stores parameter and x-image-meta-store header can't be both specified")
    stores = body["stores"]
    names = isinstance(stores, list) and all(isinstance(name, str) and len(name) < 256 for name in stores)
    if not names or not 0 < len(stores) < 256:
        raise Invalid("'stores' must be an array of names of stores, and not empty.")
    return tuple(dict.fromkeys(stores))


def expected_digest(given: Any) -> dict[str, str]:
    """Parse `{"algo": …, "value": …}`, the expected digest of fetched bytes; return {} for None."""
    if given is None:
        return {}
    if not isinstance(given, dict) or set(given) != {"algo", "value"}:
        raise Invalid('\'expected_hash\' is written like: {"algo": "sha256", "value": "…"}')
    return {given["algo"]: checked_digest(given["algo"], given["value"])}


def checked_digest(algorithm: Any, value: Any) -> str:
    """Return a digest in lower case. Raises Invalid if it does not fit the algorithm."""
    if not isinstance(algorithm, str) or algorithm not in _LENGTHS:
        raise Invalid(f"The algorithm of a hash must be one of: {', '.join(_LENGTHS)}.")
    digest = value.lower() if isinstance(value, str) else ""
    if len(digest) != _LENGTHS[algorithm] or not _HEX.fullmatch(digest):
        raise Invalid(f"A {algorithm} hash has {_LENGTHS[algorithm]} hexadecimal digits.")
    return digest


def check_importable(image: Image, wanted: Import) -> None:
    """Raise Conflict if the image is in the wrong state for the import, Invalid for a bad request."""
    if image.status == ACTIVE and wanted.method != COPY:
        raise Conflict("Image with status active cannot be target for import")
    if image.status != ACTIVE and wanted.method == COPY:
        raise Conflict("Only images with status active can be targeted for copying")
    if image.import_task is not None:
        raise Conflict(
            f"New operation on image '{image.id}' is not permitted as prior operation is still in progress: "
            f"task {image.import_task}. Cancel it, or wait for its end."
        )
    if image.status != QUEUED and wanted.method in {WEB, GLANCE}:
        raise Conflict(f"Image needs to be in 'queued' state to use '{wanted.method}' method")
    if image.status != UPLOADING and wanted.method == DIRECT:
        raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    for name in ("container_format", "disk_format"):
        if getattr(image, name) is None:
            raise Conflict(f"'{name}' needs to be set before import")
    if wanted.method == WEB and wanted.uri is None:
        raise Invalid("'uri' needs to be set for web-download import method")
    if wanted.method == GLANCE:
        _check_remote(wanted)


def _check_remote(wanted: Import) -> None:
    if wanted.region is None:
        raise Invalid("'glance_region' needs to be set for glance-download import method")
    if wanted.remote_id is None:
        raise Invalid("'glance_image_id' needs to be set for glance-download import method")
    if not UUID.fullmatch(wanted.remote_id):
        raise Invalid(f"Remote image id does not look like a UUID: {wanted.remote_id}")


def targets(image: Image, wanted: Import, writable: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the stores to fill; the default one (the first writable) if none is named.

    Raises Conflict for a store that does not exist or is read-only, Invalid for a copy to a store that has
    the image already. The result is empty for a copy to all stores if every store has the image.
    """
    names = tuple(writable) if wanted.all_stores else wanted.stores or tuple(writable[:1])
    for name in names:
        if name not in known:
            raise Conflict(f"Store '{name}' does not exist. There are: {', '.join(known)}.")
        if name not in writable:
            raise Conflict(f"Store '{name}' is read-only.")
    if wanted.method != COPY:
        return names
    if wanted.all_stores:
        return tuple(name for name in names if name not in image.stores)
    for name in names:
        if name in image.stores:
            raise Invalid(f"Image is already present at store '{name}'")
    return names


def copied_properties(properties: Mapping[str, Any], prefixes: Collection[str]) -> dict[str, str]:
    """Return the properties of a remote image whose names begin with one of the prefixes."""
    return {
        name: value
        for name, value in properties.items()
        if isinstance(value, str) and not name.startswith("os_glance") and name.startswith(tuple(prefixes))
    }
