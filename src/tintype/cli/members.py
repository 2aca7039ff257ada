"""`tintype member`: who images are shared with."""

from typing import Annotated

import typer

from tintype.cli.images import Named
from tintype.cli.session import command, group
from tintype.client import errors
from tintype.client.blocking.client import Client
from tintype.client.models import Member

app = group("Projects that images are shared with.")
_COLUMNS = ("member_id", "status", "image_id")
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Id of a project.")]
Mine = Annotated[str | None, typer.Argument(metavar="[PROJECT]", help="[default: the caller's]")]


@command(app, "list", *_COLUMNS)
def list_(client: Client, image: Named) -> list[Member]:
    """List who an image is shared with."""
    return client.members.list(client.images.find(image).id)


@command(app, "add")
def add(client: Client, image: Named, project: Project) -> Member:
    """Share an image with a project; it has to accept."""
    return client.members.create(client.images.find(image).id, project)


@command(app, "remove", prints=False)
def remove(client: Client, image: Named, project: Project) -> None:
    """Share an image no more with a project."""
    client.members.delete(client.images.find(image).id, project)


@command(app, "accept")
def accept(
    client: Client,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Its id.")],
    project: Mine = None,
) -> Member:
    """Have an image that is shared with the project in its lists."""
    return _say(client, image, project, "accepted")


@command(app, "reject")
def reject(
    client: Client,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Its id.")],
    project: Mine = None,
) -> Member:
    """Have an image that is shared with the project out of its lists."""
    return _say(client, image, project, "rejected")


def _say(client: Client, image: str, project: str | None, status: str) -> Member:
    project = project or client.project_id()
    if project is None:
        raise errors.InvalidEndpoint("The login does not tell the project: name it.")
    return client.members.update(image, project, status)
