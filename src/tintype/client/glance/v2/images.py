"""Images by python-glanceclient's names."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tintype.client.glance import exc
from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.glance.v2.schemas import SchemaBasedModel
from tintype.client.operations import data, images, imports, locations, stores
from tintype.client.requests import several

DEFAULT_PAGE_SIZE: Final = 200
SORT_DIR_VALUES: Final = ("asc", "desc")
SORT_KEY_VALUES: Final = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)


class Controller(Base):
    """`glance.images`."""

    @property
    def model(self) -> type[SchemaBasedModel]:
        """Return the class of images that keep to the schema."""
        return self._model("image")

    @property
    def unvalidated_model(self) -> type[SchemaBasedModel]:
        """Return the class of images as the server has them, even where they do not keep to the schema."""
        return self._model("image", validated=False)

    def list(self, **kwargs: Any) -> utils.Generator:
        """List images: `limit`, `page_size`, `filters` (a dict; `tag` in it is a list), `marker`.

        Sorted by `sort` ("key:dir,…") or by `sort_key` and `sort_dir`, one or several. Raises
        HTTPBadRequest, when the first is asked for, where these make no sense.
        """
        return utils.Generator(self._list(**kwargs))

    def _list(self, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        limit, size = kwargs.get("limit"), kwargs.get("page_size") or DEFAULT_PAGE_SIZE
        filters = dict(kwargs.get("filters") or {})
        for tag in filters.get("tag", []):
            if not isinstance(tag, str):
                raise exc.HTTPBadRequest(f"Invalid tag value {tag}")
        marker = kwargs.get("marker")
        asked = {**filters, "limit": size, **_sorting(kwargs), **({"marker": marker} if marker else {})}
        for image, response in self._pages(images.list_(**asked), "images", limit, size):
            yield self.unvalidated_model(image), response

    def get(self, image_id: str) -> SchemaBasedModel:
        """Show an image."""
        return self._get(image_id)

    def _get(self, image_id: str, header: Mapping[str, Any] | None = None) -> SchemaBasedModel:
        return self._record(self.unvalidated_model, images.get(image_id), header)

    def get_associated_image_tasks(self, image_id: str) -> Any:
        """List the tasks of an image; raises HTTPNotImplemented before 2.12."""
        utils.needs(self.http_client, "v2.12")
        return self._body(images.tasks(image_id))

    def create(self, **kwargs: Any) -> SchemaBasedModel:
        """Create an image; `backend` is its store, other names are properties; TypeError for bad values."""
        store = kwargs.pop("backend", None)
        values = self.model(kwargs)
        request = images.create(store=store, **values)
        return self._record(self.model, request)

    def update(
        self, image_id: str, remove_props: Iterable[str] | None = None, **kwargs: Any
    ) -> SchemaBasedModel:
        """Set attributes and properties, and remove properties; `tags=[]` removes all tags."""
        image = self.model(self.get(image_id))
        image._check({**image, **kwargs})  # noqa: SLF001  once for all, and before any is set
        for name, value in kwargs.items():
            dict.__setitem__(image, name, value)
        for name in set(remove_props or ()) - set(kwargs):
            image.pop(name, None)
        response, _ = self._patch(image_id, image.patch)
        return self._get(image_id, _continued(response))

    def delete(self, image_id: str) -> utils.Tuple:
        """Delete an image."""
        return self._done(images.delete(image_id))

    def deactivate(self, image_id: str) -> utils.Tuple:
        """Deactivate an image."""
        return self._done(images.deactivate(image_id))

    def reactivate(self, image_id: str) -> utils.Tuple:
        """Reactivate an image."""
        return self._done(images.reactivate(image_id))

    def upload(
        self,
        image_id: str,
        image_data: Any,
        image_size: int | None = None,
        u_url: str | None = None,
        backend: str | None = None,
    ) -> utils.Tuple:
        """Upload data: an open file, bytes, or text; `image_size` is sent to the server."""
        _check_size(image_size)
        request = data.upload(image_id, size=image_size, store=backend)
        url = request.target if u_url is None else u_url
        response, body = self.http_client.put(url, headers=dict(request.headers), data=image_data)
        done: utils.Tuple = utils.with_ids((response, body), response)
        return done

    def stage(self, image_id: str, image_data: Any, image_size: int | None = None) -> Any:
        """Stage data for an import."""
        _check_size(image_size)
        request = data.stage(image_id, size=image_size)
        response, body = self.http_client.put(request.target, headers=dict(request.headers), data=image_data)
        return utils.with_ids(body, response)

    def data(
        self,
        image_id: str,
        do_checksum: bool = True,
        allow_md5_fallback: bool = False,
        prefer: Iterable[str] | None = None,
    ) -> Any:
        """Return the data in chunks, with `len`; None if there is none.

        They are held against `os_hash_value`, else against `checksum`, else against Content-MD5: behind the
        last piece comes OSError (EPIPE) if they are others. ValueError for an algorithm not known here.
        """
        image: Mapping[str, Any] = {}
        if do_checksum:
            _, image = self.http_client.get(images.get(image_id).target)
        response, body = self.http_client.get(data.download(image_id, prefer=prefer or ()).target)
        if response.status_code == 204:
            return utils.with_ids(None, response)
        if do_checksum:
            body = _checked(body, image, response, allow_md5_fallback=allow_md5_fallback)
        length = int(response.headers.get("content-length", 0))
        return utils.with_ids(utils.IterableWithLength(body, length), response)

    def get_import_info(self) -> Any:
        """List the import methods."""
        return self._body(imports.methods())

    def get_stores_info(self) -> Any:
        """List the stores."""
        return self._body(stores.list_())

    def get_stores_info_detail(self) -> Any:
        """List the stores with details."""
        return self._body(stores.list_detailed())

    def delete_from_store(self, store_id: str, image_id: str) -> Any:
        """Delete a copy from a store."""
        return self._body(stores.delete_copy(store_id, image_id))

    def image_import(
        self,
        image_id: str,
        method: str = "glance-direct",
        uri: str | None = None,
        remote_region: str | None = None,
        remote_image_id: str | None = None,
        remote_service_interface: str | None = None,
        backend: str | None = None,
        stores: Iterable[str] | None = None,
        allow_failure: bool = True,
        all_stores: bool | None = None,
    ) -> Any:
        """Begin an import; with `allow_failure`, some of several stores may fail."""
        if uri and method != "web-download":
            raise exc.HTTPBadRequest('URI is only supported with method: "web-download"')
        remote = bool(remote_region and remote_image_id)
        request = imports.create(
            image_id,
            method,
            uri=uri or None,
            remote_region=remote_region if remote else None,
            remote_image_id=remote_image_id if remote else None,
            remote_interface=remote_service_interface if remote else None,
            store=backend,
            stores=tuple(stores or ()),
            all_stores=bool(all_stores),
            must_succeed=not allow_failure if stores or all_stores else None,
        )
        return self._body(request)

    def add_location(
        self,
        image_id: str,
        url: str,
        metadata: dict[str, Any],
        validation_data: dict[str, Any] | None = None,
    ) -> SchemaBasedModel:
        """Append a location to an image's list, if the operator allows it."""
        value = {"url": url, "metadata": metadata}
        if validation_data:
            value["validation_data"] = validation_data
        added = [{"op": "add", "path": "/locations/-", "value": value}]
        response = self._send_image_update_request(image_id, added)
        return self._get(image_id, {"x-openstack-request-id": response.request_ids[0]})

    def delete_locations(self, image_id: str, url_set: Iterable[str]) -> utils.Tuple:
        """Remove locations; raises HTTPNotFound for an unknown one."""
        known = [each["url"] for each in _locations_of(self.get(image_id))]
        wanted = set(url_set)
        if missing := wanted - set(known):
            raise exc.HTTPNotFound(f"Unknown URL(s): {list(missing)}")
        places = sorted((known.index(url) for url in wanted), reverse=True)
        removed = [{"op": "remove", "path": f"/locations/{place}"} for place in places]
        return self._send_image_update_request(image_id, removed)

    def update_location(self, image_id: str, url: str, metadata: dict[str, Any]) -> SchemaBasedModel:
        """Replace the metadata of a location; raises HTTPNotFound for an unknown one."""
        found = _locations_of(self.get(image_id))
        location = next((each for each in found if each["url"] == url), None)
        if location is None:
            raise exc.HTTPNotFound(
                f"Unknown URL: {url}, the URL must be one of existing locations of current image"
            )
        if location["metadata"] == metadata:
            return self.get(image_id)
        location["metadata"] = metadata
        change = [{"op": "replace", "path": "/locations", "value": found}]
        response = self._send_image_update_request(image_id, change)
        return self._get(image_id, {"x-openstack-request-id": response.request_ids[0]})

    def add_image_location(
        self, image_id: str, location_url: str, validation_data: dict[str, Any] | None = None
    ) -> SchemaBasedModel:
        """Add a location of existing data to an image; raises HTTPNotImplemented before 2.17."""
        utils.needs(self.http_client, "v2.17")
        self._send(locations.add(image_id, location_url, validation_data))
        return self._get(image_id)

    def get_image_locations(self, image_id: str) -> Any:
        """List the locations of an image's data; raises HTTPNotImplemented before 2.17."""
        utils.needs(self.http_client, "v2.17")
        return self._body(locations.list_(image_id))

    def _send_image_update_request(self, image_id: str, patch_body: Any) -> utils.Tuple:
        return self._done(images.patch(image_id, patch_body))

    def _patch(self, image_id: str, changes: str) -> tuple[Any, Any]:
        request = images.patch(image_id, [])
        response, body = self.http_client.patch(request.target, headers=dict(request.headers), data=changes)
        return response, body


def _locations_of(image: Mapping[str, Any]) -> list[dict[str, Any]]:
    if image.get("locations") is None:
        raise exc.HTTPBadRequest("The administrator has disabled API access to image locations")
    return [dict(each) for each in image["locations"]]


def _sorting(given: Mapping[str, Any]) -> dict[str, Any]:
    if "sort" in given:
        if "sort_key" in given or "sort_dir" in given:
            raise exc.HTTPBadRequest("The 'sort' argument is not supported with 'sort_key' or 'sort_dir'.")
        for each in given["sort"].strip().split(","):
            key, _, direction = each.partition(":")
            if direction and direction not in SORT_DIR_VALUES:
                raise exc.HTTPBadRequest(
                    f"Invalid sort direction: {direction}. It is one of: {', '.join(SORT_DIR_VALUES)}."
                )
            if key not in SORT_KEY_VALUES:
                raise exc.HTTPBadRequest(
                    f"Invalid sort key: {key}. It is one of: {', '.join(SORT_KEY_VALUES)}."
                )
        return {"sort": given["sort"]}
    keys, directions = several(given.get("sort_key")), several(given.get("sort_dir"))
    if len(keys) != len(directions) and len(directions) > 1:
        raise exc.HTTPBadRequest("Give one sort direction, or as many as there are sort keys.")
    return {"sort_key": keys, "sort_dir": directions}


def _check_size(size: Any) -> None:
    if size is not None and not isinstance(size, int):
        raise TypeError(f"image_size must be an integer, got {type(size).__name__}")


def _continued(response: Any) -> dict[str, Any]:
    return {"x-openstack-request-id": utils.request_id_of(response)}


def _checked(
    body: Iterable[Any], image: Mapping[str, Any], response: Any, *, allow_md5_fallback: bool
) -> Iterable[Any]:
    if image.get("os_hash_value") is not None:
        try:
            hasher = hashlib.new(str(image.get("os_hash_algo")))
        except ValueError:
            if not allow_md5_fallback:
                raise
        else:
            return utils.serious_integrity_iter(body, hasher, image["os_hash_value"])
    checksum = image.get("checksum") or response.headers.get("content-md5")
    return body if checksum is None else utils.integrity_iter(body, checksum)
