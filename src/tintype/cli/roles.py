"""`tintype role`: roles of users in projects."""

import typer

from tintype.cli import admin, output
from tintype.cli.serve import DataDir

app = typer.Typer(
    help="Manage the roles of users in projects: admin, member, reader, service.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("add")
def add(user: str, project: str, role: str, data_dir: DataDir = None) -> None:
    """Grant a user a role in a project."""
    admin.with_identity(data_dir, lambda identity: identity.roles.grant(user, project, role))
    print(f"{user} is {role} in {project}")


@app.command("remove")
def remove(user: str, project: str, role: str, data_dir: DataDir = None) -> None:
    """Revoke a user's role in a project."""
    admin.with_identity(data_dir, lambda identity: identity.roles.revoke(user, project, role))
    print(f"{user} no longer has the role {role} in {project}")


@app.command("list")
def list_roles(data_dir: DataDir = None) -> None:
    """List the roles of users in projects."""
    found = admin.with_identity(data_dir, lambda identity: identity.roles.assignments())
    rows = [(each.user_name, each.project_name, each.role) for each in found]
    output.table(("user", "project", "role"), rows)
