"""`tintype check`: checks whether the service can start and its components work."""

import asyncio
import os
from collections.abc import Sequence

import typer

from tintype import checks
from tintype.checks import Result
from tintype.cli.serve import DataDir
from tintype.configuration import load
from tintype.errors import StartError


def check(data_dir: DataDir = None) -> None:
    """Check the settings, folders, database, stores, identity and certificate, without changing anything.

    Prints one line for each: ok, warning or failed, with the reason. Exits 1 if something has failed.
    """
    results = _results(data_dir)
    for result in results:
        detail = f": {result.detail}" if result.detail else ""
        print(f"{result.level:<8} {result.part}{detail}")
    if any(result.level == "failed" for result in results):
        raise typer.Exit(1)


def _results(data_dir: DataDir) -> Sequence[Result]:
    try:
        settings = load(data_dir, os.environ)
    except StartError as error:
        return [Result("failed", "settings", error.message)]
    return [Result("ok", "settings"), *asyncio.run(checks.check_all(settings))]
