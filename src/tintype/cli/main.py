"""The `tintype` command."""

import sys

import typer

from tintype import __version__
from tintype.cli import projects, roles, serve, users
from tintype.errors import TintypeError

app = typer.Typer(
    name="tintype",
    help="An image service for clouds: the OpenStack Image API v2 in one process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.add_typer(users.app, name="user")
app.add_typer(projects.app, name="project")
app.add_typer(roles.app, name="role")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def run() -> None:
    """Run the command; what goes wrong is one line and a non-zero exit."""
    try:
        app()
    except TintypeError as error:
        print(f"tintype: {error.message}", file=sys.stderr)
        sys.exit(1)
