"""`tintype store claim`: bind a store to the folder in the settings."""

import os
from pathlib import Path

from tintype import data_folder
from tintype.cli import admin
from tintype.db import schema
from tintype.errors import StartError
from tintype.folders import claim_folder
from tintype.wiring.database import database_url


def claim(data_dir: Path | None, name: str, *, force: bool) -> None:
    """Bind a store to the folder in the settings; raises StartError while a process uses its database."""
    os.umask(0o077)
    settings = admin.existing(data_dir)
    with data_folder.lock_data_folder(settings.data_dir):
        if not data_folder.is_unused(settings.data_dir):
            raise StartError("A `tintype worker` is using the data folder; stop it first.")
        if settings.database.url is not None and (others := schema.count_connections(database_url(settings))):
            raise StartError(
                f"Tintype is connected to the database {others} times: stop every server and worker before, "
                f"on all hosts."
            )
        claimed = admin.with_database(
            data_dir, lambda database: claim_folder(database, settings, name, force=force)
        )
    print(f"{claimed.folder} is now the folder of the store '{name}'.")
    there = claimed.looked_for - claimed.missing
    print(f"{there} of {claimed.looked_for} sampled blobs were found.")
