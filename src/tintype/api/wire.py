"""Reads JSON and query strings, and writes the JSON views of the image API."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response

from tintype.domain.images import Image
from tintype.domain.members import Member
from tintype.errors import Invalid, OverLimit

_QUERY_BYTES: Final = 64 << 10
_MOST_PARAMETERS: Final = 150
_MOST_VALUES: Final = 10_000
"""Values and names in a body: parsing them blocks the event loop."""
_WARNING_BYTES: Final = 4096
"""Limit of the header with property warnings."""
_encode: Final = msgspec.json.Encoder().encode


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(_encode(content), status, headers, "application/json")


def no_content() -> Response:
    """Return a response with status 204."""
    return Response(status_code=204)


def parse_json(body: bytes, *, most: int = _MOST_VALUES) -> Any:
    """Parse a request's JSON.

    Raises OverLimit if it has more than `most` values and names; Invalid for an empty body, invalid JSON
    or UTF-8, a duplicate name in an object, and nesting that is too deep for the parser.
    """
    if not body:
        raise Invalid("Body expected in request.")
    if _has_more_values(body, most):
        raise OverLimit(f"The JSON in the request body has more than {most} values.")
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
        if b"\\u" in body:  # only an escape can write half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise Invalid("The request body is not valid UTF-8.") from None
    except UnicodeEncodeError:
        raise Invalid(
            "The request body contains half of a surrogate pair, which is not valid Unicode."
        ) from None
    except RecursionError:
        raise Invalid("The JSON in the request body is nested too deeply.") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise Invalid(f"Malformed JSON in request body: {reason}.") from None
    return value


def query_pairs(query: bytes) -> list[tuple[str, str]]:
    """Parse a query string; raises Invalid if it is too long, not UTF-8, or has a NUL."""
    if len(query) > _QUERY_BYTES:
        raise Invalid(f"A query string may have at most {_QUERY_BYTES} bytes; this one has {len(query)}.")
    if query.count(b"&") >= _MOST_PARAMETERS:
        raise Invalid(f"A query string may have at most {_MOST_PARAMETERS} parameters.")
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise Invalid("The query string is not valid UTF-8.") from None
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise Invalid("The query string contains a NUL character.")
    return pairs


def image_view(image: Image) -> dict[str, Any]:
    """Return the API's view of an image: properties beside the base attributes."""
    path = f"/v2/images/{image.id}"
    view: dict[str, Any] = {
        **image.properties,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "status": image.status,
        "checksum": image.checksum,
        "protected": image.protected,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": image.owner,
        "os_hidden": image.os_hidden,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "id": image.id,
        "created_at": timestamp(image.created_at),
        "updated_at": timestamp(image.updated_at),
        "tags": image.tags,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
    if image.failure:
        view["os_glance_failed_reason"] = image.failure
    if image.stores:
        view["stores"] = ",".join(image.stores)
    if image.importing_to is not None:  # present after the first import, as in Glance
        view["os_glance_importing_to_stores"] = image.importing_to
        view["os_glance_failed_import"] = image.import_failed or ""
    if image.import_task is not None:
        view["os_glance_import_task"] = image.import_task
    return view


def property_warnings(found: Sequence[str]) -> dict[str, str]:
    """Return a header that lists the properties that violate their definitions."""
    plain = "; ".join(found).encode("unicode_escape").decode()[:_WARNING_BYTES]
    return {"OpenStack-image-property-warnings": plain} if plain else {}


def member_view(member: Member) -> dict[str, Any]:
    """Return the API's view of a member."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": timestamp(member.created_at),
        "updated_at": timestamp(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def timestamp(microseconds: int) -> str:
    """Return a time in the API's form: whole seconds, UTC."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat()[:19] + "Z"


def bare_timestamp(microseconds: int) -> str:
    """Return a time to the microsecond, UTC without a zone."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _has_more_values(body: bytes, most: int) -> bool:
    """Return whether a JSON text has more than `most` values and names, without parsing it.

    Counts the separators, first those within strings too. Strings are removed only if that can change
    the result: at more than three times `most` the text is refused at once, because removal takes time.
    """
    count = _separators(body)
    if count <= most or count > 3 * most:
        return count > most
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', 2 * count)
    return _separators(b"".join(parts[::2])) > most


def _separators(body: bytes) -> int:
    return len(body) - len(body.translate(None, b",:[{"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Invalid(f"The name '{name[:100]}' occurs twice in one JSON object.")
            seen.add(name)
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Invalid(f"The number {text[:100]} is too large.")
    return number


def _no_constant(name: str) -> Any:
    raise Invalid(f"{name} is not valid JSON.")
