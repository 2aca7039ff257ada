"""Folders of the service: which ones it may use, and which store each belongs to.

A store's folder has a mark that is also in the database: the store's claim. So an unmounted disk, or the
folder of another host or service, is never mistaken for an empty store.
"""

import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.marks import folder_mark, replace_folder_mark, set_folder_mark
from tintype.db import blobs as blob_rows
from tintype.db import identity as identity_rows
from tintype.db.engine import Database, Transaction
from tintype.errors import StartError
from tintype.settings import Settings
from tintype.settings.stores import FileStore

_FILES_OF_A_FOLDER: Final = 4
"""Number of files checked in each of a store's 256 subfolders."""


class ClaimedFolder(msgspec.Struct, frozen=True):
    """The contents of a folder that was claimed for a store."""

    folder: Path
    looked_for: int
    """Number of the database's blobs that were looked for in the folder."""
    missing: int
    unknown: int
    """Number of checked files that the database does not know."""


def check_folders(settings: Settings) -> None:
    """Raise StartError for folders that cannot be used, or are inside each other: each has one owner."""
    ours = _own_folders(settings)
    places = {**{f"stores.{name}.folder": folder for name, folder in store_folders(settings)}, **ours}
    resolved = {name: folder.resolve() for name, folder in places.items()}
    for (name, one), (other, another) in itertools.combinations(resolved.items(), 2):
        if one == another or one in another.parents or another in one.parents:
            raise StartError(f"The folders of {name} and {other} must be apart: {one}, {another}.")
    for name in ours:
        if not is_usable(resolved[name]):
            raise StartError(f"The folder of {name}, {resolved[name]}, cannot be written to.")


def make_folders(settings: Settings) -> None:
    """Create this node's own folders; stores' folders are created when they are claimed."""
    for name, folder in _own_folders(settings).items():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"Cannot make the folder of {name}, {folder}: {error.strerror}.") from None


async def recognise_folders(database: Database, settings: Settings, *, claim: bool = True) -> list[str]:
    """Raise StartError for another service's folder, or one other than the folder with a store's bytes.

    New folders are claimed for their stores once all folders have been checked. Returns the names of these
    stores.
    """
    shared = settings.database.url is not None
    async with database.write() as tx:
        new = [
            (name, folder)
            for name, folder in store_folders(settings)
            if await _is_new(tx, name, folder, shared=shared)
        ]
        for name, folder in new if claim else ():
            await _claim(tx, name, folder)
    return [name for name, _ in new]


async def claim_folder(database: Database, settings: Settings, name: str, *, force: bool) -> ClaimedFolder:
    """Claim the folder in the settings for a store, replacing its previous one; nothing must be running.

    Unless `force`, raises StartError if blobs of the database are missing in the folder, or if it has files
    that the database does not know: they may belong to another service.
    """
    folder = _folder_of(settings, name)
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(f"The folder {folder} of the store '{name}' is not there, or cannot be written to.")
    async with database.write(durable=True) as tx:
        found = await _inspect(tx, name, folder)
        if found.missing and not force:
            raise StartError(
                f"Of {found.looked_for} blobs of the store '{name}' that were looked for, {found.missing} "
                f"are not in {folder}, or not with their size. Is it the right folder, and was all of it "
                f"moved? --force claims it anyway: images without their bytes cannot be downloaded."
            )
        if found.unknown and not force:
            raise StartError(
                f"{folder} has files that are not in this database: at least {found.unknown}. They may "
                f"belong to another Tintype. --force claims the folder anyway: the other service then "
                f"refuses it, and `tintype gc` of this service deletes those files."
            )
        mark = str(uuid.uuid4())  # a new mark: other services that know the folder must stop using it
        await identity_rows.remove_secret(tx, _secret(name))
        await identity_rows.set_secret(tx, _secret(name), mark)
        _write_mark(name, folder, mark)
    return found


async def _is_new(tx: Transaction, name: str, folder: Path, *, shared: bool) -> bool:
    """Return whether a folder is new and may be claimed. Without other hosts, an empty store may move."""
    mark, known = _mark(name, folder), await identity_rows.secret(tx, _secret(name))
    if mark is not None and mark == known:
        return False
    way_out = f"If it is the right one, moved or restored on purpose, run: tintype store claim {name}"
    if known is not None and (shared or await blob_rows.any_in(tx, name)):
        raise StartError(
            f"The folder {folder} is not the one of this database's store '{name}': is it mounted? Hosts "
            f"that share a database mount the same folder, or use another kind of store. {way_out}"
        )
    if mark is not None and _has_images(folder):
        raise StartError(f"The folder {folder} has the images of another Tintype. {way_out}")
    return True


async def _claim(tx: Transaction, name: str, folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 (once, at the start)
        mark = folder_mark(folder) or set_folder_mark(folder, str(uuid.uuid4()))
    except OSError as error:
        raise _unusable(name, folder, error) from None
    await identity_rows.remove_secret(tx, _secret(name))
    await identity_rows.set_secret(tx, _secret(name), mark)


async def _inspect(tx: Transaction, name: str, folder: Path) -> ClaimedFolder:
    """Look up some of the database's blobs in a folder, and some of its files in the database."""
    store = FilesystemStore(name, folder)
    sample = await blob_rows.sample(tx, name)
    missing = [blob for blob, size in sample if _size(store.path(blob.key)) != size]
    there = list(_some_files(folder))
    unknown = await blob_rows.unknown(tx, there)
    return ClaimedFolder(folder, len(sample), len(missing), len(unknown))


def _some_files(folder: Path) -> Iterator[str]:
    for below in folder.glob("??"):
        names = (entry.name for entry in os.scandir(below)) if below.is_dir() else iter(())
        yield from itertools.islice(names, _FILES_OF_A_FOLDER)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def store_folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Return the folder of each store that has one, by the store's name."""
    for name, chosen in settings.stores.items():
        if isinstance(chosen, FileStore):
            yield name, settings.data_dir / chosen.folder


def _folder_of(settings: Settings, name: str) -> Path:
    folders = dict(store_folders(settings))
    if name not in settings.stores:
        raise StartError(
            f"There is no store '{name}' in the settings; there are: {', '.join(settings.stores)}."
        )
    if name not in folders:
        raise StartError(f"The store '{name}' is not of type file: only folders are claimed.")
    return folders[name]


def _own_folders(settings: Settings) -> dict[str, Path]:
    ours = {"cache.folder": settings.cache.folder} if settings.cache.folder else {}
    if settings.imports.plugins:
        ours["imports.scratch"] = settings.imports.scratch
    return {name: settings.data_dir / folder for name, folder in ours.items()}


def is_usable(folder: Path) -> bool:
    """Return whether a folder can be written to or created."""
    try:
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError:
        return False
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _has_images(folder: Path) -> bool:
    return any(folder.glob("??/*"))


def _mark(name: str, folder: Path) -> str | None:
    try:
        return folder_mark(folder)
    except OSError as error:
        raise _unusable(name, folder, error) from None


def _write_mark(name: str, folder: Path, mark: str) -> None:
    try:
        replace_folder_mark(folder, mark)
    except OSError as error:
        raise _unusable(name, folder, error) from None


def _unusable(name: str, folder: Path, error: OSError) -> StartError:
    return StartError(f"Cannot use the folder {folder} of the store '{name}': {error.strerror}.")


def _secret(name: str) -> str:
    return f"folder of store {name}"
