"""`tintype image`: images and their data."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from tintype.cli import image_imports, image_transfers, output
from tintype.cli.image_options import (
    ATTRIBUTES,
    TAGGED,
    Named,
    Properties,
    Several,
    Store,
    Visibility,
    completed,
    with_owner,
)
from tintype.cli.options import group
from tintype.cli.session import command, pairs
from tintype.client import errors, sniffing
from tintype.client.blocking.client import Client
from tintype.client.models import Image

app = group("Manage images, their data and imports.")
_LIST = ("id", "name", "status", "disk_format", "size", "visibility")


@command(app, "list", *_LIST)
def list_(
    client: Client,
    name: Annotated[str | None, typer.Option(help="Only images of this name.")] = None,
    status: Annotated[str | None, typer.Option(help="Only with this status, such as active.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Only images with this visibility.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only images of this project: name or id.")] = None,
    member_status: Annotated[
        str | None,
        typer.Option(help="Only shared images with this status: accepted, pending, rejected, all."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; can be repeated.")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    hidden: Annotated[bool, typer.Option("--hidden", help="Only hidden images.")] = False,
    size_min: Annotated[int | None, typer.Option(help="Minimum size in bytes.")] = None,
    size_max: Annotated[int | None, typer.Option(help="Maximum size in bytes.")] = None,
    sort: Annotated[str, typer.Option(help="Order: KEY[:asc|desc],…")] = "created_at:desc",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of images.")] = None,
) -> Iterator[Image]:
    """List images, newest first."""
    found = client.images.list(
        properties=pairs(property),
        name=name,
        status=status,
        visibility=visibility,
        owner=owner and client.members.find_project(owner),
        member_status=member_status,
        tag=tag,
        os_hidden=hidden or None,
        size_min=size_min,
        size_max=size_max,
        sort=sort,
        limit=min(limit or 1000, 1000),
    )
    for number, image in enumerate(found, 1):
        yield image
        if number == limit:
            return


@command(app, "show")
def show(client: Client, image: Named) -> Image:
    """Show an image."""
    return client.images.find(image)


@command(app, "create", attributes=TAGGED)
def create(
    client: Client,
    name: Annotated[str | None, typer.Argument(help="Name of the image.")] = None,
    name_option: Annotated[str | None, typer.Option("--name", help="Name, as an option.")] = None,
    image_id: Annotated[str | None, typer.Option("--id", help="Id of the image: a UUID.")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    store: Store = None,
    url: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="Import the data from a URL (web-download)."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until --from has ended.")] = True,
    *,
    attributes: dict[str, Any],
) -> Image:
    """Create an image: without data, to be uploaded, staged or imported later; or with data from a URL.

    Without --disk-format, the format is taken from the URL's extension. If the import fails, the image is
    deleted again.
    """
    if name is not None and name_option is not None:
        raise typer.BadParameter("Give the name only once.", param_hint="--name")
    if image_id is not None:
        attributes["id"] = image_id
    if url is not None and attributes.get("disk_format") is None:
        attributes["disk_format"] = sniffing.format_of_name(urlsplit(url).path)
        if attributes["disk_format"] is None:
            raise typer.BadParameter(
                "The URL does not end in a known format; give one, for example qcow2.",
                param_hint="--disk-format",
            )
    made = client.images.create(
        name_option if name is None else name,
        store=store,
        properties=pairs(property),
        **completed(client, attributes),
    )
    return made if url is None else image_imports.fetch(client, made, url, store, wait=wait)


app.registered_commands += image_transfers.app.registered_commands


@command(app, "set", prints=False, attributes=ATTRIBUTES)
def change(
    client: Client,
    image: Named,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    remove: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Property to remove.")] = None,
    *,
    attributes: dict[str, Any],
) -> None:
    """Update an image."""
    if name is not None:
        attributes["name"] = name
    properties = pairs(property)
    if not attributes and not properties and not remove:
        raise typer.BadParameter("Nothing to change: give an option, for example --name.")
    found = client.images.find(image)
    changes = with_owner(client, attributes)
    client.images.update(found.id, remove=remove or (), properties=properties, **changes)


@command(app, "delete", prints=False)
def delete(client: Client, images: Several) -> None:
    """Delete images. If one cannot be deleted, the others still are."""
    _each(images, lambda image: client.images.delete(client.images.find(image).id))


@command(app, "deactivate", prints=False)
def deactivate(client: Client, images: Several) -> None:
    """Deactivate images: their data cannot be downloaded."""
    _each(images, lambda image: client.images.deactivate(client.images.find(image).id))


@command(app, "reactivate", prints=False)
def reactivate(client: Client, images: Several) -> None:
    """Reactivate images: their data can be downloaded again."""
    _each(images, lambda image: client.images.reactivate(client.images.find(image).id))


app.registered_commands += image_imports.app.registered_commands


@command(app, "locations", "url", "metadata")
def locations(client: Client, image: Named) -> Any:
    """List the locations of an image's data; for services."""
    return client.locations.list(client.images.find(image).id)


def _each(names: list[str], work: Any) -> None:
    failed = False
    for name in names:
        try:
            work(name)
        except errors.ClientError as error:
            failed = True
            print(f"tintype: {output.one_line(f'{name}: {error}')}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
