"""`tintype project`: what owns images."""

from typing import Annotated

import typer

from tintype.cli import output
from tintype.cli.serve import DataDir

app = typer.Typer(help="Projects of the built-in identity.", no_args_is_help=True)


@app.command("create")
def create(
    name: str,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Make a project."""
    project = output.with_identity(data_dir, lambda identity: identity.create_project(name, description))
    print(f"Made project {name} with id {project.id}")


@app.command("list")
def list_projects(data_dir: DataDir = None) -> None:
    """List the projects."""
    projects = output.with_identity(data_dir, lambda identity: identity.projects())
    rows = [(project.id, project.name, project.description) for project in projects]
    output.table(("id", "name", "description"), rows)


@app.command("delete")
def delete(name: str, data_dir: DataDir = None) -> None:
    """Delete a project; its images stay."""
    output.with_identity(data_dir, lambda identity: identity.delete_project(name))
    print(f"Deleted project {name}")
