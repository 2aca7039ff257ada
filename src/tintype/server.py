"""The composition root: settings in, a running service out. Every part is made here, once."""

import asyncio
import contextlib
import fcntl
import functools
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from tintype import settings as kinds
from tintype.api.app import App, Front
from tintype.api.data import DataApi
from tintype.api.identity import IdentityApi
from tintype.api.images import ImagesApi
from tintype.api.info import InfoApi
from tintype.api.members import MembersApi
from tintype.api.metadefs import MetadefsApi
from tintype.api.operations import OperationsApi
from tintype.api.protocol import BoundedConfig
from tintype.api.routes import Route, identity_table, metadefs_table, table
from tintype.api.tags import TagsApi
from tintype.api.throttle import Throttle
from tintype.api.uploads import UploadsApi
from tintype.auth.builtin import BuiltinAuthenticator
from tintype.db import blobs as blob_rows
from tintype.db import schema
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database
from tintype.errors import StartError
from tintype.formats import every_check
from tintype.jobs.sweeper import Sweeper
from tintype.listener import Listener
from tintype.observability.logs import adopt, make_logger
from tintype.observability.metrics import Metrics, shared
from tintype.observability.tracing import traced
from tintype.openers import (
    open_database,
    open_identity,
    open_keystone,
    open_policy,
    open_protections,
    open_stores,
    recognise_folders,
)
from tintype.policy.engine import Policy
from tintype.services.catalogue import Catalogue
from tintype.services.data import ImageData, Intake
from tintype.services.health import Health
from tintype.services.identity import Identity
from tintype.services.images import Images
from tintype.services.info import Info
from tintype.services.members import Members
from tintype.services.metadefs import Metadefs, PropertyCheck
from tintype.services.tags import Tags
from tintype.services.upkeep import Upkeep
from tintype.services.uploads import Uploads
from tintype.settings import DATABASE, Settings

CLOUDS: Final = "clouds.yaml"
CLOUD: Final = "tintype"
_ADMIN: Final = "admin"
_LOCK: Final = "lock"
_BACKLOG: Final = 2048
_EXPOSED: Final = (
    *(
        "Location",
        "ETag",
        "Repr-Digest",
        "Content-MD5",
        "Content-Range",
        "Retry-After",
        "X-Openstack-Request-Id",
    ),
    *("Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires"),
    *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    *(
        "OpenStack-image-store-ids",
        "OpenStack-image-import-methods",
        "OpenStack-image-property-warnings",
        "X-Subject-Token",
    ),
)
_PREFLIGHT_SECONDS: Final = 600
_THREADS: Final = 32
"""That read, hash and write at once, in each process."""


class FirstStart(msgspec.Struct, frozen=True):
    """What a person needs to know once."""

    user: str
    project: str
    password: str


class Parts(msgspec.Struct, frozen=True):
    """The service, put together: for the server, the tests and the generated reference."""

    database: Database
    identity: Identity
    images: Images
    intake: Intake
    data: ImageData
    uploads: Uploads
    routes: dict[str, Route]
    upkeep: Upkeep
    sweeper: Sweeper
    app: ASGIApp


def build(settings: Settings) -> Parts:
    """Put the service together on a data folder that `prepare` has seen."""
    log = make_logger(settings.log.level, settings.log.style)
    limits = settings.images.limits()
    database = open_database(settings)
    policy = open_policy(settings)
    stores = open_stores(settings)

    identity = open_identity(settings, database)
    images = Images(database, policy, open_protections(settings, policy), limits, stores)
    intake = Intake(
        database,
        limits,
        stores,
        algorithm=settings.images.hash_algorithm,
        tolerated=_tolerated(settings.images.tolerated_format_checks),
        log=log,
    )
    data = ImageData(database, policy, intake)
    uploads = Uploads(database, policy, intake, lifetime=settings.images.upload_lifetime * 1_000_000)
    info = Info(database, policy, stores)
    builtin = BuiltinAuthenticator(identity)
    authenticator = builtin if settings.keystone.auth_url is None else open_keystone(settings, policy, log)
    metrics = Metrics()
    sweeper = Sweeper(database, intake, identity, log, metrics)
    health = Health(database, stores, authenticator.check)
    routes = table(
        ImagesApi(
            images,
            info,
            limits,
            page_size=settings.images.page_size,
            max_page_size=settings.images.max_page_size,
            deleted=sweeper.wake,
            check=_property_check(settings, database, policy),
        ),
        DataApi(data),
        UploadsApi(uploads, limits),
        TagsApi(Tags(database, policy, limits, images)),
        MembersApi(Members(database, policy, limits)),
        InfoApi(info, limits),
        OperationsApi(health, metrics, authenticator, policy, token=settings.metrics.token),
    )
    routes |= metadefs_table(
        MetadefsApi(
            Metadefs(database, policy),
            page_size=settings.images.page_size,
            max_page_size=settings.images.max_page_size,
        )
    )
    if settings.keystone.auth_url is None:
        routes |= identity_table(IdentityApi(identity, builtin, region=settings.identity.region))

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "bytes"))
        sweeping = asyncio.create_task(sweeper.run())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
            for store in stores.values():
                await store.close()
            await database.close()

    app = App(
        routes,
        authenticator,
        log,
        lifespan,
        metrics,
        Front(
            public_url=settings.server.public_url,
            identity_url=settings.keystone.public_url or settings.keystone.auth_url,
            body_limit=settings.server.metadata_body_limit,
            throttle=_throttle(settings),
        ),
    )
    return Parts(
        *(database, identity, images, intake, data, uploads, routes, Upkeep(database, intake), sweeper),
        app=_wrapped(app, settings),
    )


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
        open_stores(settings)  # what is wrong with them is said before anything is made
        open_protections(settings, open_policy(settings))
        in_memory = any(isinstance(store, kinds.MemoryStore) for store in settings.stores.values())
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
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again when it has drained
    signal.signal(signal.SIGINT, _leave)
    if settings.server.workers > 1:
        with shared(settings.data_dir):
            Multiprocess(config, sockets=[listener]).run()
    else:
        server.run(sockets=[listener])


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


def _tolerated(names: tuple[str, ...]) -> frozenset[str]:
    known = every_check()
    unknown = sorted(set(names) - known - {"all"})
    if unknown:
        raise StartError(f"Unknown format check '{unknown[0]}'. There are: {', '.join(sorted(known))}.")
    return known if "all" in names else frozenset(names)


def _property_check(settings: Settings, database: Database, policy: Policy) -> PropertyCheck | None:
    wanted = settings.images.property_check
    return None if wanted == "off" else PropertyCheck(database, policy, refuse=wanted == "refuse")


def _throttle(settings: Settings) -> Throttle | None:
    server = settings.server
    return Throttle(server.rate_limit, server.rate_burst) if server.rate_limit else None


def _wrapped(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Put around the application what was asked for; each is others' work, and off by default."""
    if settings.server.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.server.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_SECONDS,
        )
    if settings.tracing.endpoint is not None:
        app = traced(app, settings.tracing.endpoint, settings.tracing.service)
    return app


def _leave(_signal: int, _frame: object) -> None:
    sys.exit(0)


def _app(settings: Settings) -> ASGIApp:
    for library in ("uvicorn", "opentelemetry"):
        adopt(library, make_logger(settings.log.level, settings.log.style))
    return build(settings).app


async def _bootstrap(settings: Settings, public_url: str) -> str | None:
    def keep(password: str) -> None:
        text = _clouds_yaml(FirstStart(_ADMIN, _ADMIN, password), public_url, settings.identity.region)
        _write_secret(settings.data_dir / CLOUDS, text)

    database = open_database(settings)
    try:
        if settings.database.url is None:
            await _expire_leases(database)  # this process holds the folder: who was writing is dead
        await Catalogue(database).load_first()
        if settings.keystone.auth_url is not None:
            return None
        identity = open_identity(settings, database)
        return await identity.bootstrap(user_name=_ADMIN, project_name=_ADMIN, keep=keep)
    finally:
        await database.close()


async def _expire_leases(database: Database) -> None:
    async with database.write() as tx:
        await blob_rows.expire_all(tx)
        await upload_rows.let_go_all(tx)


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
