"""`tintype user`, `project` and `role`: the built-in identity."""

import secrets
import sys
from typing import Annotated

import msgspec
import typer

from tintype import clouds_file
from tintype.cli import admin, output
from tintype.cli.options import group
from tintype.cli.serve import DataDir
from tintype.domain.quotas import NAMES, Quota
from tintype.errors import Invalid
from tintype.services.identity import Identity

Password = Annotated[
    str | None, typer.Option(help="Password; - reads standard input. [default: a random one]")
]
Limit = Annotated[
    str | None, typer.Option(metavar="N", help="A number (MiB for sizes), -1 for none, or default.")
]

users = group("Manage users of the built-in identity.")
projects = group("Manage projects of the built-in identity.")
roles = group("Manage the roles of users in projects: admin, member, reader, service.")


@users.command("create")
def create_user(
    name: str,
    password: Password = None,
    project: Annotated[
        str | None, typer.Option(help="Project to grant a role in; created if missing.")
    ] = None,
    role: Annotated[str, typer.Option(help="Role: admin, member, reader or service.")] = "member",
    data_dir: DataDir = None,
) -> None:
    """Create a user, optionally with a role in a project."""
    given = admin.read_password(password)
    secret = secrets.token_urlsafe(18) if given is None else given
    admin.with_identity(
        data_dir, lambda identity: identity.users.create(name, secret, project=project, role=role)
    )
    print(f"Created user {name}" + (f" with password {secret}" if given is None else ""))


@users.command("list")
def list_users(data_dir: DataDir = None) -> None:
    """List the users."""
    found = admin.with_identity(data_dir, lambda identity: identity.users.list())
    output.table(("id", "name", "enabled"), [(user.id, user.name, str(user.enabled)) for user in found])


@users.command("set")
def change_user(
    name: str,
    password: Annotated[
        str | None, typer.Option(help="New password; - reads it from standard input.")
    ] = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Enable or disable it.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Update a user. A new password and --disable revoke all tokens of the user."""
    secret = admin.read_password(password)
    if secret is None and enable is None:
        raise Invalid("Nothing to change: give --password, --enable or --disable.")
    user = admin.with_identity(
        data_dir, lambda identity: identity.users.update(name, password=secret, enabled=enable)
    )
    print(f"Changed user {user.name}")
    if secret is not None:
        clouds = (admin.existing(data_dir).data_dir / clouds_file.FILE).resolve()
        note = clouds_file.set_password(clouds, user.name, secret)
        if note is not None:
            print(f"Note: {note}", file=sys.stderr)


@users.command("delete")
def delete_user(name: str, data_dir: DataDir = None) -> None:
    """Delete a user."""
    admin.with_identity(data_dir, lambda identity: identity.users.delete(name))
    print(f"Deleted user {name}")


@projects.command("create")
def create_project(
    name: str,
    description: Annotated[str, typer.Option(help="Description.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Create a project."""
    project = admin.with_identity(data_dir, lambda identity: identity.projects.create(name, description))
    print(f"Created project {name} with id {project.id}")


@projects.command("list")
def list_projects(data_dir: DataDir = None) -> None:
    """List the projects."""
    found = admin.with_identity(data_dir, lambda identity: identity.projects.list())
    rows = [(project.id, project.name, project.description) for project in found]
    output.table(("id", "name", "description"), rows)


@projects.command("limits")
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


@projects.command("delete")
def delete_project(name: str, data_dir: DataDir = None) -> None:
    """Delete a project; its images stay."""
    admin.with_identity(data_dir, lambda identity: identity.projects.delete(name))
    print(f"Deleted project {name}")


@roles.command("add")
def add_role(user: str, project: str, role: str, data_dir: DataDir = None) -> None:
    """Grant a user a role in a project."""
    admin.with_identity(data_dir, lambda identity: identity.roles.grant(user, project, role))
    print(f"{user} is {role} in {project}")


@roles.command("remove")
def remove_role(user: str, project: str, role: str, data_dir: DataDir = None) -> None:
    """Revoke a user's role in a project."""
    admin.with_identity(data_dir, lambda identity: identity.roles.revoke(user, project, role))
    print(f"{user} no longer has the role {role} in {project}")


@roles.command("list")
def list_roles(data_dir: DataDir = None) -> None:
    """List the roles of users in projects."""
    found = admin.with_identity(data_dir, lambda identity: identity.roles.assignments())
    rows = [(each.user_name, each.project_name, each.role) for each in found]
    output.table(("user", "project", "role"), rows)
