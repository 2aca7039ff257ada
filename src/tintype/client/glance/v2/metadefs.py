"""Metadata definitions by python-glanceclient's names."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.glance.v2.schemas import SchemaBasedModel
from tintype.client.glance.v2.tasks import sorting
from tintype.client.operations import metadefs
from tintype.client.requests import Request

DEFAULT_PAGE_SIZE: Final = 20
SORT_DIR_VALUES: Final = ("asc", "desc")
SORT_KEY_VALUES: Final = ("created_at", "namespace")
_READ_ONLY: Final = ("schema", "created_at", "updated_at")


class _Part(Base):
    """What controllers of namespaces, and of what is in them, have in common."""

    schema = ""

    @property
    def model(self) -> type[SchemaBasedModel]:
        """Return the class of their records."""
        return self._model(self.schema)

    def _listed(self, request: Request[Any], key: str) -> utils.Generator:
        def records() -> Iterator[tuple[Any, Any]]:
            response, body = self._send(request)
            found = body[key]
            entries = found if isinstance(found, list) else [{**found[name], "name": name} for name in found]
            for entry in entries:
                yield self.model(entry), response

        return utils.Generator(records())

    def _changed(self, old: SchemaBasedModel, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record with other values, without what only the server says; TypeError for bad ones."""
        new = self.model({**old, **values})
        return {name: value for name, value in new.items() if name not in _READ_ONLY}


class NamespaceController(_Part):
    """`glance.metadefs_namespace`."""

    schema = "metadefs/namespace"

    def create(self, **kwargs: Any) -> SchemaBasedModel:
        """Create a namespace; TypeError for bad values."""
        return self._record(self.model, metadefs.create_namespace(**self.model(kwargs)))

    def update(self, namespace_name: str, **kwargs: Any) -> SchemaBasedModel:
        """Update the attributes of a namespace."""
        body = self._changed(self.get(namespace_name), kwargs)
        renamed = body.pop("namespace", namespace_name)
        request = metadefs.update_namespace(namespace_name, **body)
        assert isinstance(request.body, dict)  # noqa: S101  as update_namespace writes it
        request.body["namespace"] = renamed
        response, _ = self._send(request)
        return self._get(renamed, {"x-openstack-request-id": utils.request_id_of(response)})

    def get(self, namespace: str, **kwargs: Any) -> SchemaBasedModel:
        """Show a namespace; `resource_type` names its properties as on such a resource."""
        return self._get(namespace, **kwargs)

    def _get(
        self, namespace: str, header: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> SchemaBasedModel:
        return self._record(self.model, metadefs.get_namespace(namespace, **kwargs), header)

    def list(self, **kwargs: Any) -> utils.Generator:
        """List namespaces: `limit`, `page_size`, `marker`, `filters`, `sort_key`, `sort_dir`."""
        return utils.Generator(self._list(**kwargs))

    def _list(self, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        size = kwargs.get("page_size") or DEFAULT_PAGE_SIZE
        asked = {**(kwargs.get("filters") or {}), "limit": size, **sorting(kwargs, SORT_KEY_VALUES)}
        request = metadefs.list_namespaces(**asked)
        for namespace, response in self._pages(request, "namespaces", kwargs.get("limit")):
            yield self.model(namespace), response

    def delete(self, namespace: str) -> utils.Tuple:
        """Delete a namespace."""
        return self._done(metadefs.delete_namespace(namespace))


class ResourceTypeController(_Part):
    """`glance.metadefs_resource_type`."""

    schema = "metadefs/resource_type"

    def associate(self, namespace: str, **kwargs: Any) -> SchemaBasedModel:
        """Associate a namespace with a resource type; TypeError for bad values."""
        return self._record(self.model, metadefs.associate(namespace, **self.model(kwargs)))

    def deassociate(self, namespace: str, resource: str) -> utils.Tuple:
        """Delete the association."""
        return self._done(metadefs.dissociate(namespace, resource))

    def list(self) -> utils.Generator:
        """List all resource types."""
        return self._listed(metadefs.list_resource_types(), "resource_types")

    def get(self, namespace: str) -> utils.Generator:
        """List the resource types associated with a namespace."""
        return self._listed(metadefs.list_associations(namespace), "resource_type_associations")


class PropertyController(_Part):
    """`glance.metadefs_property`."""

    schema = "metadefs/property"

    def create(self, namespace: str, **kwargs: Any) -> SchemaBasedModel:
        """Create a property in a namespace; TypeError for bad values."""
        return self._record(self.model, metadefs.create_property(namespace, **self.model(kwargs)))

    def update(self, namespace: str, prop_name: str, **kwargs: Any) -> SchemaBasedModel:
        """Change a property."""
        body = self._changed(self.get(namespace, prop_name), kwargs)
        response, _ = self._send(metadefs.update_property(namespace, prop_name, **body))
        return self._get(namespace, body["name"], {"x-openstack-request-id": utils.request_id_of(response)})

    def get(self, namespace: str, prop_name: str) -> SchemaBasedModel:
        """Show a property."""
        return self._get(namespace, prop_name)

    def _get(
        self, namespace: str, prop_name: str, header: Mapping[str, Any] | None = None
    ) -> SchemaBasedModel:
        request = metadefs.get_property(namespace, prop_name)
        return self._record(lambda body: self.model({**body, "name": prop_name}), request, header)

    def list(self, namespace: str, **_kwargs: Any) -> utils.Generator:
        """List the properties of a namespace."""
        return self._listed(metadefs.list_properties(namespace), "properties")

    def delete(self, namespace: str, prop_name: str) -> utils.Tuple:
        """Delete a property."""
        return self._done(metadefs.delete_property(namespace, prop_name))

    def delete_all(self, namespace: str) -> utils.Tuple:
        """Delete all properties."""
        return self._done(metadefs.delete_properties(namespace))


class ObjectController(_Part):
    """`glance.metadefs_object`."""

    schema = "metadefs/object"

    def create(self, namespace: str, **kwargs: Any) -> SchemaBasedModel:
        """Create an object in a namespace; TypeError for bad values."""
        return self._record(self.model, metadefs.create_object(namespace, **self.model(kwargs)))

    def update(self, namespace: str, object_name: str, **kwargs: Any) -> SchemaBasedModel:
        """Change an object."""
        body = self._changed(self.get(namespace, object_name), kwargs)
        response, _ = self._send(metadefs.update_object(namespace, object_name, **body))
        return self._get(namespace, body["name"], {"x-openstack-request-id": utils.request_id_of(response)})

    def get(self, namespace: str, object_name: str) -> SchemaBasedModel:
        """Show an object."""
        return self._get(namespace, object_name)

    def _get(
        self, namespace: str, object_name: str, header: Mapping[str, Any] | None = None
    ) -> SchemaBasedModel:
        return self._record(self.model, metadefs.get_object(namespace, object_name), header)

    def list(self, namespace: str, **_kwargs: Any) -> utils.Generator:
        """List the objects of a namespace."""
        return self._listed(metadefs.list_objects(namespace), "objects")

    def delete(self, namespace: str, object_name: str) -> utils.Tuple:
        """Delete an object."""
        return self._done(metadefs.delete_object(namespace, object_name))

    def delete_all(self, namespace: str) -> utils.Tuple:
        """Delete all objects."""
        return self._done(metadefs.delete_objects(namespace))


class TagController(_Part):
    """`glance.metadefs_tag`."""

    schema = "metadefs/tag"

    def create(self, namespace: str, tag_name: str) -> SchemaBasedModel:
        """Create a tag in a namespace."""
        return self._record(self.model, metadefs.create_tag(namespace, tag_name))

    def create_multiple(self, namespace: str, **kwargs: Any) -> utils.Generator:
        """Replace the `tags` of a namespace, or add to them with `append`."""
        names, append = kwargs.get("tags", []), bool(kwargs.get("append"))
        return self._listed(metadefs.create_tags(namespace, names, append=append), "tags")

    def update(self, namespace: str, tag_name: str, **kwargs: Any) -> SchemaBasedModel:
        """Rename a tag: `name` is the new one."""
        body = self._changed(self.get(namespace, tag_name), kwargs)
        response, _ = self._send(metadefs.update_tag(namespace, tag_name, body["name"]))
        return self._get(namespace, body["name"], {"x-openstack-request-id": utils.request_id_of(response)})

    def get(self, namespace: str, tag_name: str) -> SchemaBasedModel:
        """Show a tag."""
        return self._get(namespace, tag_name)

    def _get(
        self, namespace: str, tag_name: str, header: Mapping[str, Any] | None = None
    ) -> SchemaBasedModel:
        return self._record(self.model, metadefs.get_tag(namespace, tag_name), header)

    def list(self, namespace: str, **_kwargs: Any) -> utils.Generator:
        """List the tags of a namespace."""
        return self._listed(metadefs.list_tags(namespace), "tags")

    def delete(self, namespace: str, tag_name: str) -> utils.Tuple:
        """Delete a tag."""
        return self._done(metadefs.delete_tag(namespace, tag_name))

    def delete_all(self, namespace: str) -> utils.Tuple:
        """Delete all tags."""
        return self._done(metadefs.delete_tags(namespace))
