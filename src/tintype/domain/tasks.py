"""Tasks, the API's view of jobs: queries for lists of them, and how they share the slots of a worker."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from tintype.domain.images import UUID
from tintype.domain.imports import GLANCE, WEB
from tintype.errors import Invalid

PENDING: Final = "pending"
PROCESSING: Final = "processing"
SUCCESS: Final = "success"
FAILURE: Final = "failure"
STATES: Final = (PENDING, PROCESSING, SUCCESS, FAILURE)
LIVE: Final = (PENDING, PROCESSING)

WEB_LANE: Final = "web"
LOCAL_LANE: Final = "local"
LANES: Final = (WEB_LANE, LOCAL_LANE)
"""The lane of jobs that wait for servers which are not ours, and that of all others."""

LEGACY_IMPORT: Final = "import"
IMPORT: Final = "api_image_import"
LOCATION: Final = "location_import"
TYPES: Final = (LEGACY_IMPORT, IMPORT, LOCATION)
"""The API's types: an import created as a task, an import of an image, and an added location."""

SORT_KEYS: Final = ("created_at", "updated_at", "expires_at", "id", "type", "status", "owner")
_FILTERS: Final = ("status", "type", "owner")
_LIMIT_PER_SLOT: Final = 4
"""Concurrent jobs per slot, including those beyond the slots."""
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Task(msgspec.Struct, frozen=True):
    """A job as it is stored. Times are microseconds since the epoch, sizes are bytes."""

    id: str
    type: str
    image_id: str | None
    owner: str | None
    user_id: str | None
    request_id: str | None
    input: dict[str, Any]
    created_at: int
    updated_at: int
    state: str = PENDING
    result: dict[str, Any] | None = None
    message: str = ""
    bytes_done: int = 0
    bytes_total: int | None = None
    attempts: int = 0
    cancelled: bool = False
    lane: str = WEB_LANE
    expires_at: int | None = None


class TaskQuery(msgspec.Struct, frozen=True):
    """A query for a page of tasks."""

    limit: int
    marker: str | None
    sort_key: str
    descending: bool
    filters: tuple[tuple[str, str], ...]

    def of(self, owner: str) -> "TaskQuery":
        """Return the query limited to one project's tasks."""
        others = tuple(pair for pair in self.filters if pair[0] != "owner")
        wrong = any(name == "owner" and value != owner for name, value in self.filters)
        return msgspec.structs.replace(self, filters=(*others, ("owner", "" if wrong else owner)))


def parse_query(pairs: Sequence[tuple[str, str]], *, default_limit: int, max_limit: int) -> TaskQuery:
    """Parse the query string of a list. Raises Invalid for bad values."""
    values = dict(pairs)
    limit = values.pop("limit", None)
    marker = values.pop("marker", None)
    sort_key = values.pop("sort_key", "created_at")
    sort_dir = values.pop("sort_dir", "desc")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 10):
        raise Invalid("limit param must be an integer that is not negative.")
    if marker is not None and not UUID.fullmatch(marker):
        raise Invalid("Invalid marker format")
    if sort_key not in SORT_KEYS:
        raise Invalid(f"Invalid sort_key '{sort_key}'; it must be one of: {', '.join(SORT_KEYS)}.")
    if sort_dir not in {"asc", "desc"}:
        raise Invalid(f"Invalid sort direction: {sort_dir}")
    for name, known in (("status", STATES), ("type", TYPES)):
        if name in values and values[name] not in known:
            raise Invalid(f"Invalid {name} value: {values[name]}")
    return TaskQuery(
        min(default_limit if limit is None else int(limit), max_limit),
        None if marker is None else marker.lower(),
        sort_key,
        sort_dir == "desc",
        tuple((name, values[name]) for name in _FILTERS if name in values),
    )


def check_legacy_import(body: Any) -> dict[str, Any]:
    """Return the input of a request to create a task of type import.

    Raises Invalid for another type or incomplete input.
    """
    if not isinstance(body, dict):
        raise Invalid("The request body must be a JSON object.")
    for name in ("type", "input"):
        if name not in body:
            raise Invalid(f"Task '{name}' is required")
    if body["type"] != LEGACY_IMPORT:
        raise Invalid(
            f"Only tasks of type '{LEGACY_IMPORT}' can be created; the service creates the others itself."
        )
    given = body["input"]
    if not isinstance(given, dict):
        raise Invalid("Task 'input' must be an object.")
    for name in ("import_from", "import_from_format", "image_properties"):
        if name not in given:
            raise Invalid(f"Input does not contain '{name}' field")
    if not isinstance(given["image_properties"], dict) or not isinstance(given["import_from"], str):
        raise Invalid("'image_properties' must be an object and 'import_from' a URL.")
    return given


def max_at_once(slots: int) -> int:
    """Return how many jobs of a lane may run at once, including those beyond its slots."""
    return slots * _LIMIT_PER_SLOT


def owners_at_limit(running: Collection[str], slots: int) -> set[str]:
    """Return the owners that may not start a further job in a lane, given the owner of each running job.

    Once all slots are in use, only owners without a running job may start one, beyond the slots. So long jobs
    do not delay other owners, and no job has to be stopped for the sake of another owner.
    """
    return set(running) if len(running) >= slots else set()


def lane_of(task: Task, *, stored_on_web: bool) -> str:
    """Return the lane of a job, which depends on whether its bytes come from servers that are not ours.

    `stored_on_web` says whether the image already has bytes in a store on the web.
    """
    if task.type == IMPORT:
        outside = task.input["import_req"]["method"]["name"] in {WEB, GLANCE} or stored_on_web
    elif task.type == LOCATION:
        outside = task.input["loc_url"].lower().startswith("http")
    else:
        outside = True
    return WEB_LANE if outside else LOCAL_LANE


def size_text(size: int) -> str:
    """Return a number of bytes in the unit that fits, such as `700 bytes` or `1.3 GiB`."""
    if size < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    value, units = size / 1024, list(_UNITS)
    while round(value, 1) >= 1024:
        value /= 1024
        del units[0]
    return f"{value:.1f} {units[0]}"
