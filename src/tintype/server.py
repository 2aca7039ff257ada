"""The service as a process: the data folder made ready, requests served, the end waited for."""

import asyncio
import contextlib
import fcntl
import functools
import gc
import multiprocessing.process
import os
import signal
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from tintype.api.protocol import BoundedConfig
from tintype.db import blobs as blob_rows
from tintype.db import jobs as job_rows
from tintype.db import schema
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database
from tintype.errors import StartError
from tintype.listener import Listener
from tintype.observability.logs import adopt, make_logger
from tintype.observability.metrics import shared
from tintype.openers import (
    check_folders,
    check_web,
    open_database,
    open_identity,
    open_plugins,
    open_policy,
    open_protections,
    open_stores,
    recognise_folders,
    tolerated,
)
from tintype.parts import at_work, build, lay
from tintype.services.catalogue import Catalogue
from tintype.settings import DATABASE, Settings
from tintype.settings.stores import MemoryStore

CLOUDS: Final = "clouds.yaml"
CLOUD: Final = "tintype"
_ADMIN: Final = "admin"
_LOCK: Final = "lock"
_WORKERS: Final = "workers.lock"
"""Which all share who work on the folder, but for the process that holds it."""
_BACKLOG: Final = 2048


class FirstStart(msgspec.Struct, frozen=True):
    """What a person needs to know once."""

    user: str
    project: str
    password: str


def database_url(settings: Settings) -> str:
    """Give where the tables are."""
    return settings.database.url or f"sqlite:///{settings.data_dir / DATABASE}"


def upgrade_database(settings: Settings) -> None:
    """Bring the database to this version's schema."""
    schema.upgrade(database_url(settings))


def prepare(settings: Settings, public_url: str) -> FirstStart | None:
    """Make the data folder ready: schema, first project and admin, `clouds.yaml`.

    Gives what the first start made, None later. Raises StartError with one line that says what to
    do where the folder cannot be used.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_certificate(settings)
        _check(settings)
        in_memory = any(isinstance(store, MemoryStore) for store in settings.stores.values())
        if in_memory and settings.server.workers > 1:
            raise StartError("A store of type memory is in one process: start with one worker.")
        upgrade_database(settings)
        asyncio.run(recognise_folders(settings))
        password = asyncio.run(_bootstrap(settings, public_url))
    except OSError as error:
        raise StartError(f"Cannot use the data folder {settings.data_dir}: {error.strerror}.") from error
    return None if password is None else FirstStart(_ADMIN, _ADMIN, password)


def serve(settings: Settings, listener: Listener) -> None:
    """Serve until a signal says stop, then let requests in flight end."""
    config = BoundedConfig(
        functools.partial(_app, settings),
        factory=True,
        silent_seconds=settings.server.silent_seconds,
        unread_seconds=settings.server.unread_seconds,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.server.trusted_proxies),
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        ssl_certfile=settings.server.tls_certificate,
        ssl_keyfile=settings.server.tls_key,
        workers=settings.server.workers,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.server.drain_seconds,
    )
    server = uvicorn.Server(config)

    def leave(_signal: int, _frame: object) -> None:
        if server.started:  # uvicorn raises the signal again when it has drained
            sys.exit(0)
        os._exit(0)  # at once: an exception is lost where the interpreter runs a callback of its own

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    if settings.server.workers > 1:
        with shared(settings.data_dir):
            Multiprocess(config, sockets=[listener]).run()
    else:
        server.run(sockets=[listener])


def work(settings: Settings) -> None:
    """Work on jobs until a signal says stop, without serving requests; then hand over what is at work."""
    _check(settings)
    upgrade_database(settings)
    asyncio.run(recognise_folders(settings))  # who writes elsewhere writes images that no server finds
    _share(settings.data_dir)

    async def run() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        async with at_work(lay(settings)):
            await stop.wait()

    asyncio.run(run())


@contextlib.contextmanager
def only_server_of(folder: Path) -> Iterator[None]:
    """Hold the data folder, so that no second server works on it."""
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


def _check(settings: Settings) -> None:
    """Say what is wrong with the settings before anything is served."""
    check_folders(settings)
    open_stores(settings)
    tolerated(settings)
    check_web(settings)
    open_plugins(settings)
    open_protections(settings, open_policy(settings))


def _check_certificate(settings: Settings) -> None:
    certificate, key = settings.server.tls_certificate, settings.server.tls_key
    if certificate is None:
        if key is not None:
            raise StartError("server.tls_key needs server.tls_certificate beside it.")
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"Cannot use the certificate {certificate}: {error}.") from None


def _app(settings: Settings) -> ASGIApp:
    for library in ("uvicorn", "opentelemetry", "oslo_utils"):
        adopt(library, make_logger(settings.log.level, settings.log.style))
    parent = multiprocessing.parent_process()
    if parent is not None:  # which holds the folder: nobody may serve it for longer than that
        _share(settings.data_dir)
        threading.Thread(target=_end_behind, args=[parent], daemon=True).start()
    app = build(settings).app
    gc.collect()
    gc.freeze()  # what is there by now stays: each look through it for garbage held up requests for 60 ms
    return app


def _end_behind(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _share(folder: Path) -> None:
    """Be one of those who work on a data folder, for as long as this process lives."""
    lock = os.open(folder / _WORKERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)


async def _bootstrap(settings: Settings, public_url: str) -> str | None:
    def keep(password: str) -> None:
        text = _clouds_yaml(FirstStart(_ADMIN, _ADMIN, password), public_url, settings.identity.region)
        _write_secret(settings.data_dir / CLOUDS, text)

    database = open_database(settings)
    try:
        if settings.database.url is None and _nobody_works(settings.data_dir):
            await _expire_leases(database)  # this process holds the folder: who was writing is dead
        await Catalogue(database).load_first()
        if settings.keystone.auth_url is not None:
            return None
        identity = open_identity(settings, database)
        return await identity.bootstrap(user_name=_ADMIN, project_name=_ADMIN, keep=keep)
    finally:
        await database.close()


def _nobody_works(folder: Path) -> bool:
    """Say whether nobody is at work on a data folder: no `tintype worker`, no rest of a killed server."""
    lock = os.open(folder / _WORKERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


async def _expire_leases(database: Database) -> None:
    async with database.write() as tx:
        await blob_rows.expire_all(tx)
        await upload_rows.let_go_all(tx)
        await job_rows.let_go_all(tx)


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _clouds_yaml(first: FirstStart, public_url: str, region: str) -> str:
    return f"""\
# For the official clients: OS_CLIENT_CONFIG_FILE=<this file> openstack --os-cloud {CLOUD} image list
clouds:
  {CLOUD}:
    auth:
      auth_url: {public_url}/identity
      username: {first.user}
      password: "{first.password}"
      project_name: {first.project}
      user_domain_id: default
      project_domain_id: default
    region_name: {region}
    identity_api_version: 3
"""
