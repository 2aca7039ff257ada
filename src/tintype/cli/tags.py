"""`tintype tag`: tags of images."""

from typing import Annotated

import typer

from tintype.cli.image_options import Named
from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client

app = group("Manage the tags of images.")
Tags = Annotated[list[str], typer.Argument(metavar="TAG...", help="Tags.")]


@command(app, "add", prints=False)
def add(client: Client, image: Named, tags: Tags) -> None:
    """Add tags to an image."""
    found = client.images.find(image)
    for tag in tags:
        client.tags.add(found.id, tag)


@command(app, "remove", prints=False)
def remove(client: Client, image: Named, tags: Tags) -> None:
    """Remove tags from an image."""
    found = client.images.find(image)
    for tag in tags:
        client.tags.remove(found.id, tag)


@command(app, "clear", prints=False)
def clear(client: Client, image: Named) -> None:
    """Remove all tags from an image."""
    client.images.update(client.images.find(image).id, tags=[])


@command(app, "list")
def list_(client: Client, image: Named) -> list[dict[str, str]]:
    """List the tags of an image."""
    return [{"tag": tag} for tag in client.images.find(image).tags]
