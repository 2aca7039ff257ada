"""`tintype worker`: a process that only runs jobs."""

import os
from typing import Annotated

import msgspec
import typer

from tintype import data_folder
from tintype.cli import admin
from tintype.cli.serve import DataDir
from tintype.errors import StartError
from tintype.settings import JobSettings
from tintype.settings.stores import MemoryStore
from tintype.wiring.service import Service


def worker(
    data_dir: DataDir = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Jobs to run in parallel. [default: jobs.concurrency, or 4]", min=1)
    ] = None,
) -> None:
    """Run imports and other jobs without serving requests, beside servers or on separate hosts."""
    os.umask(0o077)
    settings = admin.existing(data_dir)
    for name, store in settings.stores.items():
        if isinstance(store, MemoryStore):
            raise StartError(
                f"The store '{name}' has the type memory: it exists only in the server's process, so a "
                f"worker cannot use it. Do not start a worker, or remove the store from the settings."
            )
    jobs = msgspec.structs.replace(
        settings.jobs, concurrency=concurrency or settings.jobs.concurrency or JobSettings().concurrency
    )
    print(f"Tintype works on jobs for {settings.data_dir.resolve()}", flush=True)
    data_folder.run_worker(Service(msgspec.structs.replace(settings, jobs=jobs)))
