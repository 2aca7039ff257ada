"""`tintype project`: projects of the built-in identity."""

from typing import Annotated

import msgspec
import typer

from tintype.cli import admin, output
from tintype.cli.serve import DataDir
from tintype.domain.quotas import NAMES, Quota
from tintype.errors import Invalid
from tintype.services.identity import Identity

Limit = Annotated[
    str | None, typer.Option(metavar="N", help="A number (MiB for sizes), -1 for none, or default.")
]

app = typer.Typer(
    help="Manage projects of the built-in identity.", no_args_is_help=True, add_completion=False
)


@app.command("create")
def create(
    name: str,
    description: Annotated[str, typer.Option(help="Description.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Create a project."""
    project = admin.with_identity(data_dir, lambda identity: identity.projects.create(name, description))
    print(f"Created project {name} with id {project.id}")


@app.command("list")
def list_projects(data_dir: DataDir = None) -> None:
    """List the projects."""
    projects = admin.with_identity(data_dir, lambda identity: identity.projects.list())
    rows = [(project.id, project.name, project.description) for project in projects]
    output.table(("id", "name", "description"), rows)


@app.command("limits")
def limits(
    name: str,
    image_count_total: Limit = None,
    image_size_total: Limit = None,
    image_stage_total: Limit = None,
    image_count_uploading: Limit = None,
    data_dir: DataDir = None,
) -> None:
    """Show the limits of a project; options set them first."""
    wanted = zip(
        NAMES, (image_count_total, image_size_total, image_stage_total, image_count_uploading), strict=True
    )

    async def work(identity: Identity) -> Quota:
        for limit, value in wanted:
            if value is not None:
                await identity.projects.set_limit(name, limit, None if value == "default" else _number(value))
        return await identity.projects.get_limits(name)

    found = msgspec.structs.asdict(admin.with_identity(data_dir, work))
    output.table(("limit", "value"), [(limit, str(value)) for limit, value in found.items()])


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"A limit must be a number or default, not '{text}'.") from None


@app.command("delete")
def delete(name: str, data_dir: DataDir = None) -> None:
    """Delete a project; its images stay."""
    admin.with_identity(data_dir, lambda identity: identity.projects.delete(name))
    print(f"Deleted project {name}")
