"""Images, without their data."""

from collections.abc import Iterable, Mapping
from typing import Any

from tintype.client.models import Image, Task
from tintype.client.requests import (
    PATCH,
    Listing,
    Request,
    many,
    nothing,
    one,
    pages,
    path,
    pointer,
    query,
    several,
)


def list_(  # noqa: PLR0913  the parameters of the API
    *,
    limit: int | None = None,
    marker: str | None = None,
    sort: str | None = None,
    sort_key: str | Iterable[str] | None = None,
    sort_dir: str | Iterable[str] | None = None,
    name: str | None = None,
    visibility: str | None = None,
    member_status: str | None = None,
    owner: str | None = None,
    status: str | None = None,
    tag: str | Iterable[str] | None = None,
    size_min: int | None = None,
    size_max: int | None = None,
    os_hidden: bool | None = None,
    protected: bool | None = None,
    properties: Mapping[str, str] | None = None,
    **filters: Any,
) -> Listing[Image]:
    """List the images that the caller may see, newest first.

    `limit` is the size of a page, 25 by default and at most 1000; the list continues through all pages.
    `sort` is `key[:dir],…`; or use `sort_key` and `sort_dir` (asc, desc), one or several. An image must
    have every given `tag`. Any other keyword is a property and its value, or a comparison such as
    `created_at="gt:2026-01-01T00:00:00Z"`, `id="in:a,b"`. `properties` has those named like a parameter.
    """
    asked = {
        **(properties or {}),
        "name": name,
        "visibility": visibility,
        "member_status": member_status,
        "owner": owner,
        "status": status,
        "tag": several(tag),
        "size_min": size_min,
        "size_max": size_max,
        "os_hidden": os_hidden,
        "protected": protected,
        **filters,
        "limit": limit,
        "marker": marker,
        "sort": sort,
        "sort_key": several(sort_key),
        "sort_dir": several(sort_dir),
    }
    return Listing("GET", "/v2/images", pages(Image, "images"), query=query(asked))


def get(image_id: str) -> Request[Image]:
    """Return an image. Raises NotFound if it does not exist, or the caller may not see it."""
    return Request("GET", path("v2", "images", image_id), one(Image))


def create(
    name: str | None = None,
    *,
    store: str | None = None,
    properties: Mapping[str, str] | None = None,
    **attributes: Any,
) -> Request[Image]:
    """Create an image without data. Raises BadRequest, Conflict (id in use), OverLimit (quota).

    Attributes are those of the API (`disk_format`, `container_format`, `visibility`, `min_disk` in GiB,
    `min_ram` in MiB, `tags`, `id` …); every other keyword is a property, a string. `store` is for the
    data. Properties whose names are parameters go into `properties`.
    """
    body = {**(properties or {}), **attributes} | ({} if name is None else {"name": name})
    headers = {} if store is None else {"x-image-meta-store": store}
    return Request("POST", "/v2/images", one(Image), headers=headers, body=body)


def update(
    image_id: str,
    /,
    *,
    remove: Iterable[str] = (),
    properties: Mapping[str, str] | None = None,
    **attributes: Any,
) -> Request[Image]:
    """Set attributes and properties, and remove properties; `tags=[]` removes all tags.

    Properties whose names are parameters go into `properties`. Sends one PATCH, whose `add` replaces
    existing values (RFC 6902, 4.1). Raises NotFound, Forbidden, and Conflict for removing an absent property.
    """
    changes: list[dict[str, Any]] = [
        {"op": "replace" if name == "tags" else "add", "path": pointer(name), "value": value}
        for name, value in {**(properties or {}), **attributes}.items()
    ]
    changes += [{"op": "remove", "path": pointer(name)} for name in remove]
    return patch(image_id, changes)


def patch(image_id: str, changes: list[dict[str, Any]]) -> Request[Image]:
    """Apply a JSON patch in the API's dialect 2.1: a list of `{"op", "path", "value"}`."""
    return Request(
        "PATCH",
        path("v2", "images", image_id),
        one(Image),
        headers={"Content-Type": PATCH},
        body=changes,
    )


def delete(image_id: str) -> Request[None]:
    """Delete an image. Raises NotFound, Forbidden (protected), Conflict (in use)."""
    return Request("DELETE", path("v2", "images", image_id), nothing)


def deactivate(image_id: str) -> Request[None]:
    """Deactivate an image: its data cannot be downloaded."""
    return Request("POST", path("v2", "images", image_id, "actions", "deactivate"), nothing)


def reactivate(image_id: str) -> Request[None]:
    """Reactivate an image: its data can be downloaded again."""
    return Request("POST", path("v2", "images", image_id, "actions", "reactivate"), nothing)


def tasks(image_id: str) -> Request[list[Task]]:
    """List the tasks of an image, newest first (API 2.12)."""
    return Request("GET", path("v2", "images", image_id, "tasks"), many(Task, "tasks"))
