"""Seeing what would come of something: with the database and the stores as they are, and nothing changed."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tintype.blobs.base import BlobStore
from tintype.blobs.filesystem import FilesystemStore
from tintype.cli import admin
from tintype.db import schema
from tintype.db.engine import Database, SQLite
from tintype.errors import StartError
from tintype.folders import recognise_folders
from tintype.services.catalogue import Catalogue
from tintype.settings import DATABASE, FileStore, Settings
from tintype.wiring.database import database_url
from tintype.wiring.service import Service

T = TypeVar("T")
Work = Callable[[Database, Mapping[str, BlobStore]], Awaitable[T]]


def rehearse(settings: Settings, work: Work[T]) -> T:
    """Call `work` with the database and the stores of the settings, none of which need be there yet.

    `work` itself must write nothing. Where there is no database, or only one with an older schema, it is
    given what the next start would make of it, in a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="tintype-") as folder:
        draft = _draft(settings, Path(folder) / DATABASE)
        return asyncio.run(_run(settings, draft, work))


async def _run(settings: Settings, draft: Path | None, work: Work[T]) -> T:
    service = Service(settings)
    if draft is not None:
        service.database = SQLite(draft)
    try:
        if draft is None:
            await recognise_folders(service.database, settings, claim=False)
        else:
            await Catalogue(service.database).load_first()
        return await work(service.database, {**service.stores, **_unclaimed(settings)})
    finally:
        await service.close()


def _draft(settings: Settings, target: Path) -> Path | None:
    """Make the database that the next start would make; None where there is one that is up to date."""
    kept = settings.data_dir / DATABASE
    if settings.database.url is None and not kept.exists():
        print("There is no database yet. This is what would be done after a first start.")
        return _upgraded(target)
    state = schema.state(database_url(settings))
    if state.refusal:
        raise StartError(state.refusal)
    if not state.behind:
        return None
    if state.revision is None:
        print("The database is empty. This is what would be done after a first start.")
        return _upgraded(target)
    if settings.database.url is not None:
        admin.check_current(settings)
    print(f"The database has schema {state.revision}. This is what would be done after the next start,")
    print(f"which brings it to {state.newest}.")
    with (
        contextlib.closing(sqlite3.connect(f"{kept.resolve().as_uri()}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return _upgraded(target)


def _upgraded(target: Path) -> Path:
    schema.upgrade(f"sqlite:///{target}")
    return target


def _unclaimed(settings: Settings) -> dict[str, BlobStore]:
    """Return the stores whose folders no start has claimed yet: what is there may be looked at."""
    folders = {
        name: settings.data_dir / chosen.folder
        for name, chosen in settings.stores.items()
        if isinstance(chosen, FileStore)
    }
    return {name: _Unclaimed(name, folder) for name, folder in folders.items() if folder.is_dir()}


class _Unclaimed(FilesystemStore):
    """A folder that need not have a mark."""

    def check_mark(self) -> None:
        """Take the folder as it is."""
