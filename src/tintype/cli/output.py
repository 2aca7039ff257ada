"""How commands print, and how the admin ones reach the service's data."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from tintype import server
from tintype.db import schema
from tintype.db.engine import SQLite
from tintype.errors import StartError
from tintype.services.identity import Identity
from tintype.settings import load

T = TypeVar("T")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under column names."""
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def with_identity(data_dir: Path | None, work: Callable[[Identity], Awaitable[T]]) -> T:
    """Do something with the identity of a data folder, whether its server runs or not."""
    settings = load(data_dir, os.environ)
    path = settings.data_dir / server.DATABASE
    if not path.exists():
        raise StartError(f"There is no Tintype in {settings.data_dir} yet; `tintype serve` makes one.")
    schema.upgrade(f"sqlite:///{path}")

    async def run() -> T:
        database = SQLite(path)
        try:
            return await work(Identity(database, token_lifetime=settings.identity.token_lifetime))
        finally:
            database.close()

    return asyncio.run(run())
