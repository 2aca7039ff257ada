"""The global options, and groups of commands, in a module that does not import the client."""

from typing import NamedTuple

import typer


class Options(NamedTuple):
    """The cloud chosen on the command line."""

    cloud: str | None = None
    endpoint: str | None = None
    token: str | None = None
    region: str | None = None
    interface: str | None = None
    verify: bool | str | None = None
    timeout: float | None = None


def group(help_text: str) -> typer.Typer:
    """Create a group of commands."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
