"""Imports: the server downloads or copies data into one or several stores."""

from collections.abc import Sequence
from typing import Any

from tintype.client.requests import Reply, Request, nothing, path


def create(  # noqa: PLR0913  the parameters of the API
    image_id: str,
    method: str = "glance-direct",
    *,
    uri: str | None = None,
    expected_hash: tuple[str, str] | None = None,
    remote_region: str | None = None,
    remote_image_id: str | None = None,
    remote_interface: str | None = None,
    store: str | None = None,
    stores: Sequence[str] = (),
    all_stores: bool = False,
    must_succeed: bool | None = None,
) -> Request[None]:
    """Begin an import into an image: `glance-direct`, `web-download`, `copy-image` or `glance-download`.

    `uri` and `expected_hash` (algorithm, digest in hex) are for web-download, the three `remote_…` for
    glance-download. With `must_succeed`, the import fails if one of several stores does; None leaves that
    to the server, which defaults to True. Raises BadRequest, Conflict (state of the image).
    """
    wanted: dict[str, Any] = {"name": method}
    if uri is not None:
        wanted["uri"] = uri
    if expected_hash is not None:
        wanted["expected_hash"] = {"algo": expected_hash[0], "value": expected_hash[1]}
    if remote_interface is not None:
        wanted["glance_service_interface"] = remote_interface
    if remote_region is not None:
        wanted["glance_region"] = remote_region
    if remote_image_id is not None:
        wanted["glance_image_id"] = remote_image_id
    body: dict[str, Any] = {"method": wanted}
    if stores:
        body["stores"] = list(stores)
    if all_stores:
        body["all_stores"] = True
    if must_succeed is not None:
        body["all_stores_must_succeed"] = must_succeed
    headers = {} if store is None else {"x-image-meta-store": store}
    return Request("POST", path("v2", "images", image_id, "import"), nothing, headers=headers, body=body)


def methods() -> Request[list[str]]:
    """List the import methods of the server."""
    return Request("GET", "/v2/info/import", _methods)


def _methods(reply: Reply) -> list[str]:
    return [str(name) for name in reply.json()["import-methods"]["value"]]
