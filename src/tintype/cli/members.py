"""`tintype member`: projects that images are shared with."""

from typing import Annotated

import typer

from tintype.cli.image_options import Named
from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client import errors
from tintype.client.blocking.client import Client
from tintype.client.models import Member

app = group("Share images with projects.")
_COLUMNS = ("member_id", "status", "image_id")
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name or id of a project.")]
Mine = Annotated[
    str | None, typer.Argument(metavar="[PROJECT]", help="Name or id. [default: the caller's project]")
]
Shared = Annotated[
    str, typer.Argument(metavar="IMAGE", help="Name or id of an image that is shared with the project.")
]


@command(app, "list", *_COLUMNS)
def list_(client: Client, image: Named) -> list[Member]:
    """List the projects that an image is shared with."""
    return client.members.list(client.images.find(image).id)


@command(app, "add")
def add(client: Client, image: Named, project: Project) -> Member:
    """Share an image with a project, which has to accept it."""
    found = client.images.find(image)
    return client.members.create(found.id, client.members.find_project(project))


@command(app, "remove", prints=False)
def remove(client: Client, image: Named, project: Project) -> None:
    """Stop sharing an image with a project, even one that no longer exists."""
    found = client.images.find(image)
    members = {each.member_id for each in client.members.list(found.id)}
    client.members.delete(found.id, project if project in members else client.members.find_project(project))


@command(app, "accept")
def accept(client: Client, image: Shared, project: Mine = None) -> Member:
    """Accept a shared image: it appears in the project's lists."""
    return _answer(client, image, project, "accepted")


@command(app, "reject")
def reject(client: Client, image: Shared, project: Mine = None) -> Member:
    """Reject a shared image: it does not appear in the project's lists."""
    return _answer(client, image, project, "rejected")


def _answer(client: Client, image: str, project: str | None, status: str) -> Member:
    own = client.members.find_project(project) if project else client.project_id()
    if own is None:
        raise errors.InvalidEndpoint("The login has no project: name one.")
    return client.members.update(client.images.find_shared(image).id, own, status)
