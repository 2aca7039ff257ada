"""The tree of commands."""

import typer

from tintype import __version__
from tintype.cli import database, metadefs, projects, roles, serve, takeover, upkeep, users, worker

app = typer.Typer(
    name="tintype",
    help="An image service for clouds: the OpenStack Image API v2 in one process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in help texts are brackets
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("gc")(upkeep.gc)
app.command("scrub")(upkeep.scrub)
app.command("import-glance")(takeover.import_glance)
app.add_typer(database.app, name="db")
app.add_typer(metadefs.app, name="metadefs")
app.add_typer(users.app, name="user")
app.add_typer(projects.app, name="project")
app.add_typer(roles.app, name="role")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)
