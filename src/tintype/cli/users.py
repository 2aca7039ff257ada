"""`tintype user`: who may log in."""

import secrets
from typing import Annotated

import typer

from tintype.cli import output
from tintype.cli.serve import DataDir
from tintype.services.identity import Identity

app = typer.Typer(help="Users of the built-in identity.", no_args_is_help=True)
Password = Annotated[
    str | None,
    typer.Option(help="The password. Without it one is made and shown.", envvar="TINTYPE_USER_PASSWORD"),
]


@app.command("create")
def create(
    name: str,
    password: Password = None,
    project: Annotated[
        str | None, typer.Option(help="Project to give a role in; made if it does not exist.")
    ] = None,
    role: Annotated[str, typer.Option(help="The role: admin, member, reader or service.")] = "member",
    data_dir: DataDir = None,
) -> None:
    """Make a user, with a role in a project if one is named."""
    secret = password or secrets.token_urlsafe(18)

    async def work(identity: Identity) -> None:
        await identity.create_user(name, secret)
        if project is not None:
            if project not in {known.name for known in await identity.projects()}:
                await identity.create_project(project)
            await identity.grant(name, project, role)

    output.with_identity(data_dir, work)
    print(f"Made user {name}" + ("" if password else f" with password {secret}"))


@app.command("list")
def list_users(data_dir: DataDir = None) -> None:
    """List the users."""
    users = output.with_identity(data_dir, lambda identity: identity.users())
    output.table(("id", "name", "enabled"), [(user.id, user.name, str(user.enabled)) for user in users])


@app.command("set")
def change(
    name: str,
    password: Annotated[str | None, typer.Option(help="A new password.")] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Open or close the account.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Change a user; this ends all tokens the user has."""
    output.with_identity(
        data_dir, lambda identity: identity.change_user(name, password=password, enabled=enable)
    )
    print(f"Changed user {name}")


@app.command("delete")
def delete(name: str, data_dir: DataDir = None) -> None:
    """Delete a user."""
    output.with_identity(data_dir, lambda identity: identity.delete_user(name))
    print(f"Deleted user {name}")
