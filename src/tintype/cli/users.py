"""`tintype user`: users of the built-in identity."""

import secrets
import sys
from typing import Annotated

import typer

from tintype import clouds_file
from tintype.cli import admin, output
from tintype.cli.options import group
from tintype.cli.serve import DataDir
from tintype.errors import Invalid

app = group("Manage users of the built-in identity.")
Password = Annotated[
    str | None, typer.Option(help="Password; - reads standard input. [default: a random one]")
]


@app.command("create")
def create(
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


@app.command("list")
def list_users(data_dir: DataDir = None) -> None:
    """List the users."""
    users = admin.with_identity(data_dir, lambda identity: identity.users.list())
    output.table(("id", "name", "enabled"), [(user.id, user.name, str(user.enabled)) for user in users])


@app.command("set")
def change(
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


@app.command("delete")
def delete(name: str, data_dir: DataDir = None) -> None:
    """Delete a user."""
    admin.with_identity(data_dir, lambda identity: identity.users.delete(name))
    print(f"Deleted user {name}")
