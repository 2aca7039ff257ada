"""`tintype task`: work on the server."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from tintype.cli.session import command, group
from tintype.client.blocking.client import Client
from tintype.client.models import Task

app = group("Work on the server: imports, copies.")
_COLUMNS = ("id", "type", "status", "owner", "created_at")
Named = Annotated[str, typer.Argument(metavar="TASK", help="Its id.")]


@command(app, "list", *_COLUMNS)
def list_(
    client: Client,
    status: Annotated[str | None, typer.Option(help="pending, processing, success or failure.")] = None,
    type: Annotated[str | None, typer.Option(help="import and so on.")] = None,  # noqa: A002
) -> Iterator[Task]:
    """List tasks: for operators."""
    return client.tasks.list(status=status, type=type, limit=100)


@command(app, "show")
def show(client: Client, task: Named) -> Task:
    """Show a task."""
    return client.tasks.get(task)


@command(app, "create")
def create(
    client: Client,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="import")],  # noqa: A002
    given: Annotated[str, typer.Option("--input", metavar="JSON", help="What it needs.")],
) -> Task:
    """Begin a task."""
    try:
        return client.tasks.create(type, msgspec.json.decode(given, type=dict))
    except msgspec.DecodeError as error:
        raise typer.BadParameter(str(error), param_hint="--input") from None


@command(app, "cancel")
def cancel(client: Client, task: Named) -> Task:
    """Ask for the end of a task (Tintype)."""
    return client.tasks.cancel(task)
