"""The tree of commands. Each command's module is imported only when it is called, for a fast start."""

import importlib
import logging
import sys
from typing import Annotated, Any, Final

import typer
import typer.core
import typer.main

from tintype import __version__
from tintype.cli.options import Options
from tintype.extras import missing

_COMMANDS: Final = {
    "image": "images",
    "member": "members",
    "tag": "tags",
    "task": "tasks",
    "store": "stores",
    "metadef": "metadefs",
    "cache": "cache",
    "info": "info",
    "serve": "serve:serve",
    "worker": "worker:worker",
    "healthcheck": "healthcheck:healthcheck",
    "check": "check:check",
    "gc": "upkeep:gc",
    "scrub": "upkeep:scrub",
    "import-glance": "takeover:import_glance",
    "db": "database",
    "catalogue": "catalogue",
    "user": "identity:users",
    "project": "identity:projects",
    "role": "identity:roles",
}
"""The module of each command: its `app`, or what is named."""


class Commands(typer.core.TyperGroup):
    """The commands, imported when they are called."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 130 on an interrupt."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(130)

    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands, client commands first."""
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command. A command that is not installed reports so when it is called."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, function = _COMMANDS[cmd_name].partition(":")
        try:
            found = importlib.import_module(f"tintype.cli.{module}")
        except ModuleNotFoundError as error:
            return _absent(cmd_name, error)
        app = getattr(found, function or "app")
        if not isinstance(app, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
            alone.command(cmd_name)(app)
            app = alone
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="tintype",
    help="An image service for clouds, and a client for any server of the OpenStack Image API v2.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in help texts are brackets
    cls=Commands,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    cloud: Annotated[
        str | None, typer.Option("--cloud", "--os-cloud", help="A cloud of clouds.yaml. [default: $OS_CLOUD]")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "--os-image-url", help="Address of the image service.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", "--os-token", help="Token for the endpoint.")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", "--os-region-name", help="Region.")] = None,
    interface: Annotated[
        str | None, typer.Option("--interface", "--os-interface", help="public, internal or admin.")
    ] = None,
    cacert: Annotated[
        str | None, typer.Option("--cacert", "--os-cacert", help="File of CA certificates.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Trust any certificate.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds without a byte. [default: the cloud's api_timeout, else 600]"),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log requests and responses, without secrets.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Choose the cloud for client commands; the default comes from the environment."""
    verify = False if insecure else cacert
    context.obj = Options(cloud, endpoint, token, region, interface, verify, timeout)
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _absent(name: str, error: ModuleNotFoundError) -> Any:
    module = error.name
    stub = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @stub.command(name, context_settings=settings, help=f"Not installed: needs 'tintype[server]' ({module}).")
    def absent() -> None:
        raise missing(f"tintype {name}", "server", error)

    return typer.main.get_command(stub)
