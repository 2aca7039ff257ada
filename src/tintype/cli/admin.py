"""How admin commands reach the data of a service on this machine."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tintype.configuration import load
from tintype.data_folder import upgrade_database
from tintype.db import schema
from tintype.db.engine import Database
from tintype.errors import StartError
from tintype.folders import recognise_folders, store_folders
from tintype.services.identity import Identity
from tintype.settings import DATABASE, Settings
from tintype.wiring.database import database_url
from tintype.wiring.service import Service

T = TypeVar("T")


def read_password(given: str | None) -> str | None:
    """Return the password from the command line; `-` reads it from standard input."""
    return sys.stdin.readline().rstrip("\n") if given == "-" else given


def with_identity(data_dir: Path | None, work: Callable[[Identity], Awaitable[T]]) -> T:
    """Call `work` with the identity service of a data folder, whether its server runs or not."""
    settings = existing(data_dir)
    if settings.keystone.auth_url is not None:
        raise StartError("This service uses Keystone: manage users, projects, roles and limits there.")
    return _run(_upgraded(data_dir), lambda service: work(service.identity))


def with_database(data_dir: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Call `work` with the database of a data folder, whether its server runs or not."""
    return _run(_upgraded(data_dir), lambda service: work(service.database))


def with_service(
    data_dir: Path | None,
    work: Callable[[Service], Awaitable[T]],
    *,
    changes: bool = True,
    claims: bool = False,
) -> T:
    """Call `work` with the service of a data folder, whether its server runs or not.

    Without `changes`, the schema is not upgraded. Folders of stores are created and claimed only with
    `claims`; otherwise a missing folder raises StartError.
    """
    settings = _upgraded(data_dir) if changes else existing(data_dir)
    if not changes:
        check_current(settings)

    async def with_folders(service: Service) -> T:
        # never delete data in a folder of another service
        unclaimed = await recognise_folders(service.database, settings, claim=claims)
        if unclaimed and not claims:
            raise _missing_folder(settings, unclaimed[0])
        return await work(service)

    return _run(settings, with_folders)


def _run(settings: Settings, work: Callable[[Service], Awaitable[T]]) -> T:
    async def run() -> T:
        service = Service(settings)
        try:
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(run())


def _missing_folder(settings: Settings, name: str) -> StartError:
    folder = dict(store_folders(settings))[name]
    return StartError(
        f"The folder {folder} of the store '{name}' is missing, or is not the one that the service has "
        "claimed: is it mounted? If the store is new, start the service, which creates the folder. If the "
        f"folder was moved or restored on purpose, run: tintype store claim {name}"
    )


def existing(data_dir: Path | None) -> Settings:
    """Return the settings of a data folder; raises StartError if it has no service."""
    settings = load(data_dir, os.environ)
    if settings.database.url is None and not (settings.data_dir / DATABASE).exists():
        raise StartError(f"{settings.data_dir.resolve()} is not a data folder. Set it with --data-dir.")
    return settings


def check_current(settings: Settings) -> None:
    """Raise StartError unless the schema is the one of this version."""
    state = schema.state(database_url(settings))
    if state.refusal:
        raise StartError(state.refusal)
    if state.behind:
        raise StartError(
            f"The database has schema {state.revision or 'none'}, and this version needs {state.newest}. "
            f"Run `tintype db upgrade` first, or start the service, which does the same."
        )


def _upgraded(data_dir: Path | None) -> Settings:
    settings = existing(data_dir)
    upgrade_database(settings)
    return settings
