"""`tintype task`: tasks on the server."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client
from tintype.client.models import Task

app = group("Manage tasks on the server, such as imports and copies.")
_COLUMNS = ("id", "type", "status", "owner", "created_at")
Named = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.")]


@command(app, "list", *_COLUMNS)
def list_(
    client: Client,
    status: Annotated[str | None, typer.Option(help="pending, processing, success or failure.")] = None,
    type: Annotated[str | None, typer.Option(help="Only this type, such as import.")] = None,  # noqa: A002
) -> Iterator[Task]:
    """List tasks; for operators."""
    return client.tasks.list(status=status, type=type, limit=100)


@command(app, "show")
def show(client: Client, task: Named) -> Task:
    """Show a task."""
    return client.tasks.get(task)


@command(app, "create")
def create(
    client: Client,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the task: import.")],  # noqa: A002
    given: Annotated[str, typer.Option("--input", metavar="JSON", help="Input of the task.")],
) -> Task:
    """Create a task."""
    try:
        return client.tasks.create(type, msgspec.json.decode(given, type=dict))
    except msgspec.DecodeError as error:
        raise typer.BadParameter(str(error), param_hint="--input") from None


@command(app, "cancel")
def cancel(client: Client, task: Named) -> Task:
    """Request the cancellation of a task (Tintype only)."""
    return client.tasks.cancel(task)
