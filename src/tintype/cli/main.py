"""The `tintype` command: what goes wrong is one line and a non-zero exit."""

import sys

from tintype.errors import TintypeError


def run() -> None:
    """Run the command."""
    try:
        from tintype.cli.commands import app
    except ModuleNotFoundError as missing:
        sys.exit(f"tintype: {missing.name} is not installed; for the server: pip install 'tintype[server]'")
    try:
        app()
    except TintypeError as error:
        sys.exit(f"tintype: {error.message}")
