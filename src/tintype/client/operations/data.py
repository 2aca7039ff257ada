"""The data of an image. The sender adds or reads the stream of bytes."""

from collections.abc import Iterable, Mapping

from tintype.client.requests import OCTETS, Request, nothing, path, query


def upload(image_id: str, *, size: int | None = None, store: str | None = None) -> Request[None]:
    """Upload the data of a queued image in one request; `size` in bytes if it is known."""
    return Request("PUT", path("v2", "images", image_id, "file"), nothing, headers=_headers(size, store))


def stage(image_id: str, *, size: int | None = None) -> Request[None]:
    """Stage the data of an image that will be imported."""
    return Request("PUT", path("v2", "images", image_id, "stage"), nothing, headers=_headers(size, None))


def download(
    image_id: str, *, start: int = 0, end: int | None = None, prefer: Iterable[str] = ()
) -> Request[None]:
    """Download the data of an image from `start` to before `end`, preferably from the stores `prefer`."""
    headers = {"Accept-Encoding": "identity"}
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    asked = query({"prefer": ",".join(prefer) or None})
    return Request("GET", path("v2", "images", image_id, "file"), nothing, query=asked, headers=headers)


def _headers(size: int | None, store: str | None) -> Mapping[str, str]:
    headers = {"Content-Type": OCTETS}
    if size is not None:
        headers["x-openstack-image-size"] = str(size)
    if store is not None:
        headers["x-image-meta-store"] = store
    return headers
