"""`tintype metadef`: metadata definitions of a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client
from tintype.client.models import Association, MetadefObject, MetadefTag, Namespace

app = group("Manage metadata definitions, which describe image properties.")
properties, objects = (
    group("Manage the properties of a namespace."),
    group("Manage the objects of a namespace, which are groups of properties."),
)
tags, types = group("Manage the tags of a namespace."), group("Manage the resource types of a namespace.")
app.add_typer(properties, name="property")
app.add_typer(objects, name="object")
app.add_typer(tags, name="tag")
app.add_typer(types, name="type")

Space = Annotated[str, typer.Argument(metavar="NAMESPACE", help="Name of the namespace.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names.")]
Document = Annotated[Path, typer.Argument(metavar="FILE", help="JSON in the API's format.")]
Public = Annotated[bool | None, typer.Option("--public/--private", help="Whether other projects may see it.")]
Protected = Annotated[
    bool | None, typer.Option("--protected/--unprotected", help="Protect it from deletion.")
]


@command(app, "list", "namespace", "display_name", "visibility", "protected")
def list_(
    client: Client,
    type: Annotated[list[str] | None, typer.Option(help="Only for this type; can be repeated.")] = None,  # noqa: A002
) -> Iterator[Namespace]:
    """List namespaces."""
    return client.metadefs.list_namespaces(resource_types=type or (), limit=100)


@command(app, "show")
def show(
    client: Client,
    namespace: Space,
    type: Annotated[str | None, typer.Option(help="Prefix properties as for this resource type.")] = None,  # noqa: A002
) -> Namespace:
    """Show a namespace with all its contents."""
    return client.metadefs.get_namespace(namespace, resource_type=type)


@command(app, "create")
def create(
    client: Client,
    namespace: Space,
    display_name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    description: Annotated[str | None, typer.Option(help="Description.")] = None,
    public: Public = None,
    protected: Protected = None,
) -> Namespace:
    """Create a namespace."""
    return client.metadefs.create_namespace(
        namespace, **_given_attributes(display_name, description, public=public, protected=protected)
    )


@command(app, "load")
def load(client: Client, file: Document) -> Namespace:
    """Create a namespace with all its contents from a file."""
    body = _document(file)
    kept = {
        name: value
        for name, value in body.items()
        if name not in {"self", "schema", "created_at", "updated_at"}
    }
    return client.metadefs.create_namespace(kept.pop("namespace", ""), **kept)


@command(app, "set")
def change(
    client: Client,
    namespace: Space,
    display_name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    description: Annotated[str | None, typer.Option(help="Description.")] = None,
    public: Public = None,
    protected: Protected = None,
) -> Namespace:
    """Update the attributes of a namespace."""
    old = client.metadefs.get_namespace(namespace)
    kept = {
        name: getattr(old, name)
        for name in ("display_name", "description", "visibility", "protected", "owner")
        if getattr(old, name) is not None
    }
    given = _given_attributes(display_name, description, public=public, protected=protected)
    return client.metadefs.update_namespace(namespace, **{**kept, **given})


@command(app, "delete", prints=False)
def delete(client: Client, names: Names) -> None:
    """Delete namespaces with all their contents."""
    for name in names:
        client.metadefs.delete_namespace(name)


@command(properties, "list", "name", "type", "title")
def list_properties(client: Client, namespace: Space) -> list[dict[str, Any]]:
    """List the properties of a namespace."""
    return client.metadefs.list_properties(namespace)


@command(properties, "show")
def show_property(client: Client, namespace: Space, name: Name) -> dict[str, Any]:
    """Show a property."""
    return client.metadefs.get_property(namespace, name)


@command(properties, "create")
def create_property(client: Client, namespace: Space, file: Document) -> dict[str, Any]:
    """Create a property in a namespace: a JSON schema with name, title and type."""
    return client.metadefs.create_property(namespace, **_document(file))


@command(properties, "delete", prints=False)
def delete_property(client: Client, namespace: Space, names: Names) -> None:
    """Delete properties."""
    for name in names:
        client.metadefs.delete_property(namespace, name)


@command(objects, "list", "name", "description")
def list_objects(client: Client, namespace: Space) -> list[MetadefObject]:
    """List the objects of a namespace."""
    return client.metadefs.list_objects(namespace)


@command(objects, "show")
def show_object(client: Client, namespace: Space, name: Name) -> MetadefObject:
    """Show an object."""
    return client.metadefs.get_object(namespace, name)


@command(objects, "create")
def create_object(client: Client, namespace: Space, file: Document) -> MetadefObject:
    """Create an object in a namespace."""
    return client.metadefs.create_object(namespace, **_document(file))


@command(objects, "delete", prints=False)
def delete_object(client: Client, namespace: Space, names: Names) -> None:
    """Delete objects."""
    for name in names:
        client.metadefs.delete_object(namespace, name)


@command(tags, "list", "name")
def list_tags(client: Client, namespace: Space) -> list[MetadefTag]:
    """List the tags of a namespace."""
    return client.metadefs.list_tags(namespace)


@command(tags, "add", "name")
def add_tags(client: Client, namespace: Space, names: Names) -> list[MetadefTag]:
    """Add tags to a namespace."""
    return client.metadefs.create_tags(namespace, names, append=True)


@command(tags, "delete", prints=False)
def delete_tags(client: Client, namespace: Space, names: Names) -> None:
    """Delete tags."""
    for name in names:
        client.metadefs.delete_tag(namespace, name)


@command(types, "list", "name", "prefix", "properties_target")
def list_types(
    client: Client,
    namespace: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE]", help="[default: all resource types]")
    ] = None,
) -> list[Association]:
    """List resource types."""
    return (
        client.metadefs.list_associations(namespace) if namespace else client.metadefs.list_resource_types()
    )


@command(types, "add")
def add_type(
    client: Client,
    namespace: Space,
    name: Name,
    prefix: Annotated[str | None, typer.Option(help="Prefix of property names there.")] = None,
    properties_target: Annotated[
        str | None, typer.Option(help="Kind of properties that are meant, such as image.")
    ] = None,
) -> Association:
    """Associate a namespace with a resource type."""
    return client.metadefs.associate(namespace, name, prefix=prefix, properties_target=properties_target)


@command(types, "remove", prints=False)
def remove_type(client: Client, namespace: Space, name: Name) -> None:
    """Delete the association of a namespace with a resource type."""
    client.metadefs.dissociate(namespace, name)


def _given_attributes(
    display_name: str | None, description: str | None, *, public: bool | None, protected: bool | None
) -> dict[str, Any]:
    given = {
        "display_name": display_name,
        "description": description,
        "visibility": None if public is None else "public" if public else "private",
        "protected": protected,
    }
    return {name: value for name, value in given.items() if value is not None}


def _document(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"{file}: {error}") from None
