"""The data folder: prepared for a start, locked by one server, shared by worker processes."""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tintype import clouds_file
from tintype.allocator import keep_few_arenas
from tintype.checks import check_start
from tintype.db import blobs as blob_rows
from tintype.db import identity as identity_rows
from tintype.db import jobs as job_rows
from tintype.db import leases as lease_rows
from tintype.db import schema
from tintype.db import uploads as upload_rows
from tintype.db.engine import CLOCK, Database, Transaction, clock_offset_now
from tintype.errors import StartError
from tintype.folders import make_folders, recognise_folders
from tintype.observability.logs import route_libraries
from tintype.services.catalogue import Catalogue
from tintype.services.health import Health
from tintype.settings import Settings
from tintype.wiring.database import database_url, open_database
from tintype.wiring.identity import create_identity
from tintype.wiring.lifespan import lifespan
from tintype.wiring.service import Service

_ADMIN: Final = "admin"
_LOCK: Final = "lock"
_WORKERS: Final = "workers.lock"
"""The lock that all worker processes share; the process that locks the folder does not."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UNKNOWN: Final = "unknown"


class FirstStart(msgspec.Struct, frozen=True):
    """What the first start tells the operator, once."""

    user: str
    project: str
    password: str


def upgrade_database(settings: Settings) -> None:
    """Migrate the database to this version's schema."""
    schema.upgrade(database_url(settings))


def prepare(service: Service, public_url: str) -> FirstStart | None:
    """Prepare the data folder for the service: schema, first project and admin, `clouds.yaml`.

    Returns what the first start has created, None later. Raises StartError with one line that says
    what to do if the folder cannot be used.
    """
    settings = service.settings
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_start(service)
        make_folders(settings)
        upgrade_database(settings)
        password = asyncio.run(_bootstrap(service, public_url))
    except OSError as error:
        raise StartError(f"Cannot use the data folder {settings.data_dir}: {error.strerror}.") from error
    return None if password is None else FirstStart(_ADMIN, _ADMIN, password)


def run_worker(service: Service) -> None:
    """Work on jobs without serving requests until a signal arrives; then requeue the running jobs."""
    settings = service.settings
    keep_few_arenas()
    route_libraries(service.log)
    check_start(service)
    make_folders(settings)
    upgrade_database(settings)
    asyncio.run(_prepare_worker(settings))
    join_data_folder(settings.data_dir)

    async def run() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        async with lifespan(service, Health(service.database, service.stores, None)):
            await stop.wait()

    asyncio.run(run())


@contextlib.contextmanager
def lock_data_folder(folder: Path) -> Iterator[None]:
    """Lock the data folder for one server; raises StartError if another one serves it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"Cannot use the data folder {folder}: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"Another Tintype serves the data folder {folder} already.") from None
        yield
    finally:
        os.close(lock)


def join_data_folder(folder: Path) -> None:
    """Register this process as a worker of a data folder until it ends."""
    lock = os.open(folder / _WORKERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)


async def _bootstrap(service: Service, public_url: str) -> str | None:
    settings = service.settings

    def keep(password: str) -> None:
        login = clouds_file.Login(_ADMIN, password, _ADMIN)
        clouds_file.create(settings.data_dir / clouds_file.FILE, login, public_url, settings.identity.region)

    database = open_database(settings)  # not the service's database, which belongs to another event loop
    try:
        await recognise_folders(database, settings)
        if settings.database.url is None:  # this process has locked the folder: earlier writers may be dead
            await _settle_leases(database, alone=is_unused(settings.data_dir))
        await Catalogue(database).load_first()
        if settings.keystone.auth_url is not None:
            return None
        identity = create_identity(settings, database, service.policy)
        return await identity.bootstrap(user_name=_ADMIN, project_name=_ADMIN, save_password=keep)
    finally:
        await database.close()


def is_unused(folder: Path) -> bool:
    """Return whether no process works on a data folder: no `tintype worker`, no child of a killed server."""
    lock = os.open(folder / _WORKERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


async def _prepare_worker(settings: Settings) -> None:
    database = open_database(settings)
    try:
        await recognise_folders(database, settings)  # in another folder, servers would not find the images
        if settings.database.url is None:
            await _settle_leases(database, alone=False)
    finally:
        await database.close()


async def _settle_leases(database: Database, *, alone: bool) -> None:
    """Expire the leases of dead processes: all, if this process is alone or the machine has been restarted.

    The lease clock restarts with the machine, so its origin is set here, too.
    """
    boot = _boot_id()
    async with database.write(durable=True) as tx:
        known = await identity_rows.secret(tx, CLOCK)
        restarted = known is not None and known.partition(" ")[0] != boot
        if boot == _UNKNOWN and not restarted:
            restarted = await lease_rows.any_from_before(tx)
        if alone or restarted:
            await _expire_leases(tx)
        if alone or restarted or known is None:
            await identity_rows.remove_secret(tx, CLOCK)
            await identity_rows.set_secret(tx, CLOCK, f"{boot} {clock_offset_now()}")


async def _expire_leases(tx: Transaction) -> None:
    await blob_rows.expire_all(tx)
    await upload_rows.release_all(tx)
    await job_rows.expire_all(tx)


def _boot_id() -> str:
    """Return the boot id of the machine, if it has one."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return _UNKNOWN
