"""Metadata definitions: namespaces and their contents."""

from collections.abc import Iterable
from typing import Any

from tintype.client.models import Association, MetadefObject, MetadefTag, Namespace
from tintype.client.requests import (
    Listing,
    Reply,
    Request,
    many,
    nothing,
    one,
    pages,
    path,
    query,
    whole,
)

Definition = dict[str, Any]
"""A property: a JSON schema with `name`, `title` and `type`."""


def list_namespaces(
    *,
    limit: int | None = None,
    marker: str | None = None,
    sort_key: str | None = None,
    sort_dir: str | None = None,
    resource_types: Iterable[str] = (),
    visibility: str | None = None,
    **filters: Any,
) -> Listing[Namespace]:
    """List namespaces, optionally only those for `resource_types`; `sort_key` is created_at or namespace."""
    asked = {
        "visibility": visibility,
        "resource_types": ",".join(resource_types) or None,
        **filters,
        "limit": limit,
        "marker": marker,
        "sort_key": sort_key,
        "sort_dir": sort_dir,
    }
    return Listing("GET", "/v2/metadefs/namespaces", pages(Namespace, "namespaces"), query=query(asked))


def get_namespace(namespace: str, *, resource_type: str | None = None) -> Request[Namespace]:
    """Return a namespace with all its contents; property names have the prefix for `resource_type`."""
    asked = query({"resource_type": resource_type})
    return Request("GET", _path(namespace), one(Namespace), query=asked)


def create_namespace(namespace: str, **attributes: Any) -> Request[Namespace]:
    """Create a namespace, optionally with `properties`, `objects`, `tags`, `resource_type_associations`."""
    body = {"namespace": namespace, **attributes}
    return Request("POST", "/v2/metadefs/namespaces", one(Namespace), body=body)


def update_namespace(name: str, **attributes: Any) -> Request[Namespace]:
    """Replace all attributes of a namespace, including `namespace`; its contents stay."""
    return Request("PUT", _path(name), one(Namespace), body={"namespace": name, **attributes})


def delete_namespace(namespace: str) -> Request[None]:
    """Delete a namespace with all its contents. Raises Forbidden if it is protected."""
    return Request("DELETE", _path(namespace), nothing)


def list_properties(namespace: str) -> Request[list[Definition]]:
    """List the properties of a namespace."""
    return Request("GET", _path(namespace, "properties"), _properties)


def get_property(namespace: str, name: str, *, resource_type: str | None = None) -> Request[Definition]:
    """Show a property."""
    asked = query({"resource_type": resource_type})
    return Request("GET", _path(namespace, "properties", name), whole, query=asked)


def create_property(namespace: str, **definition: Any) -> Request[Definition]:
    """Create a property in a namespace: `name`, `title`, `type` and other fields of JSON schema."""
    return Request("POST", _path(namespace, "properties"), whole, body=definition)


def update_property(namespace: str, old_name: str, **definition: Any) -> Request[Definition]:
    """Replace a property."""
    body = {"name": old_name, **definition}
    return Request("PUT", _path(namespace, "properties", old_name), whole, body=body)


def delete_property(namespace: str, name: str) -> Request[None]:
    """Delete a property."""
    return Request("DELETE", _path(namespace, "properties", name), nothing)


def delete_properties(namespace: str) -> Request[None]:
    """Delete all properties of a namespace."""
    return Request("DELETE", _path(namespace, "properties"), nothing)


def list_objects(namespace: str) -> Request[list[MetadefObject]]:
    """List the objects of a namespace."""
    return Request("GET", _path(namespace, "objects"), many(MetadefObject, "objects"))


def get_object(namespace: str, name: str) -> Request[MetadefObject]:
    """Show an object."""
    return Request("GET", _path(namespace, "objects", name), one(MetadefObject))


def create_object(namespace: str, **attributes: Any) -> Request[MetadefObject]:
    """Create an object in a namespace: `name`, `description`, `required`, `properties`."""
    return Request("POST", _path(namespace, "objects"), one(MetadefObject), body=attributes)


def update_object(namespace: str, old_name: str, **attributes: Any) -> Request[MetadefObject]:
    """Replace an object."""
    body = {"name": old_name, **attributes}
    return Request("PUT", _path(namespace, "objects", old_name), one(MetadefObject), body=body)


def delete_object(namespace: str, name: str) -> Request[None]:
    """Delete an object."""
    return Request("DELETE", _path(namespace, "objects", name), nothing)


def delete_objects(namespace: str) -> Request[None]:
    """Delete all objects of a namespace."""
    return Request("DELETE", _path(namespace, "objects"), nothing)


def list_tags(namespace: str) -> Request[list[MetadefTag]]:
    """List the tags of a namespace."""
    return Request("GET", _path(namespace, "tags"), many(MetadefTag, "tags"))


def get_tag(namespace: str, name: str) -> Request[MetadefTag]:
    """Show a tag."""
    return Request("GET", _path(namespace, "tags", name), one(MetadefTag))


def create_tag(namespace: str, name: str) -> Request[MetadefTag]:
    """Create a tag in a namespace."""
    return Request("POST", _path(namespace, "tags", name), one(MetadefTag))


def create_tags(namespace: str, names: Iterable[str], *, append: bool = False) -> Request[list[MetadefTag]]:
    """Replace the tags of a namespace, or add to them."""
    body = {"tags": [{"name": name} for name in names]}
    headers = {"X-Openstack-Append": "True"} if append else {}
    return Request("POST", _path(namespace, "tags"), many(MetadefTag, "tags"), headers=headers, body=body)


def update_tag(namespace: str, old_name: str, name: str) -> Request[MetadefTag]:
    """Rename a tag."""
    return Request("PUT", _path(namespace, "tags", old_name), one(MetadefTag), body={"name": name})


def delete_tag(namespace: str, name: str) -> Request[None]:
    """Delete a tag."""
    return Request("DELETE", _path(namespace, "tags", name), nothing)


def delete_tags(namespace: str) -> Request[None]:
    """Delete all tags of a namespace."""
    return Request("DELETE", _path(namespace, "tags"), nothing)


def list_resource_types() -> Request[list[Association]]:
    """List all resource types."""
    return Request("GET", "/v2/metadefs/resource_types", many(Association, "resource_types"))


def list_associations(namespace: str) -> Request[list[Association]]:
    """List the resource types associated with a namespace."""
    return Request("GET", _path(namespace, "resource_types"), many(Association, "resource_type_associations"))


def associate(
    namespace: str, name: str, *, prefix: str | None = None, properties_target: str | None = None
) -> Request[Association]:
    """Associate a namespace with a resource type, on which property names begin with `prefix`."""
    given = {"name": name, "prefix": prefix, "properties_target": properties_target}
    body = {key: value for key, value in given.items() if value is not None}
    return Request("POST", _path(namespace, "resource_types"), one(Association), body=body)


def dissociate(namespace: str, name: str) -> Request[None]:
    """Delete the association of a namespace with a resource type."""
    return Request("DELETE", _path(namespace, "resource_types", name), nothing)


def _path(*parts: str) -> str:
    return path("v2", "metadefs", "namespaces", *parts)


def _properties(reply: Reply) -> list[Definition]:
    return [{"name": name, **value} for name, value in reply.json()["properties"].items()]
