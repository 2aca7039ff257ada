"""Dry runs: work on the current database and stores, without changing anything."""

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
    """Call `work` with the database and the stores of the settings, which need not exist yet.

    `work` itself must not write. If there is no database, or one with an older schema, it gets a temporary
    copy as the next start would upgrade it.
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
    """Create the database that the next start would create; return None if the present one is up to date."""
    kept = settings.data_dir / DATABASE
    if settings.database.url is None and not kept.exists():
        print("There is no database yet. This shows the result after a first start.")
        return _upgraded(target)
    state = schema.state(database_url(settings))
    if state.refusal:
        raise StartError(state.refusal)
    if not state.behind:
        return None
    if state.revision is None:
        print("The database is empty. This shows the result after a first start.")
        return _upgraded(target)
    if settings.database.url is not None:
        admin.check_current(settings)
    print(f"The database has schema {state.revision}. This shows the result after the next start,")
    print(f"which upgrades it to {state.newest}.")
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
    """Return the file stores whose folders exist, claimed or not, for reading."""
    folders = {
        name: settings.data_dir / chosen.folder
        for name, chosen in settings.stores.items()
        if isinstance(chosen, FileStore)
    }
    return {name: _Unclaimed(name, folder) for name, folder in folders.items() if folder.is_dir()}


class _Unclaimed(FilesystemStore):
    """A file store whose folder need not have a mark."""

    def check_mark(self) -> None:
        """Accept the folder without a check."""
