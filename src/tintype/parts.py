"""The composition root: settings in, the parts of a service out. Each is made here, once."""

import asyncio
import contextlib
import multiprocessing
import socket
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from tintype.api.app import App
from tintype.api.base_url import ForwardedRequests
from tintype.api.front import Front
from tintype.api.info import minor_versions
from tintype.api.operations import OperationsApi
from tintype.api.route import Route
from tintype.api.throttle import Throttle
from tintype.auth.base import Authenticator, Logins
from tintype.auth.builtin import BuiltinAuthenticator, BuiltinLogins
from tintype.blobs.cache import PieceFiles
from tintype.blobs.web import Web
from tintype.dashboard.guard import Guard
from tintype.db.engine import Database
from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, LOCATION
from tintype.jobs.attempts import Work
from tintype.jobs.imports import ImportOptions, ImportWork
from tintype.jobs.locations import LocationWork
from tintype.jobs.prefetcher import Prefetcher
from tintype.jobs.sweeper import Sweeper
from tintype.jobs.worker import Worker
from tintype.observability.logs import make_logger, set_level
from tintype.observability.metrics import Metrics
from tintype.observability.tracing import traced
from tintype.openers import (
    open_database,
    open_identity,
    open_keystone,
    open_plugins,
    open_policy,
    open_property_schema,
    open_protections,
    open_regions,
    open_stores,
    open_web,
    store_infos,
    tolerated,
)
from tintype.policy.engine import Policy
from tintype.services.cache import Cache
from tintype.services.copies import Copies
from tintype.services.data import ImageData, Intake
from tintype.services.health import Health
from tintype.services.identity import Identity
from tintype.services.images import Images
from tintype.services.locations import Locations
from tintype.services.property_checks import PropertyCheck
from tintype.services.queue import JobQueue
from tintype.services.rights import Rights
from tintype.services.signatures import Signatures
from tintype.services.upkeep import Upkeep
from tintype.services.uploads import Uploads
from tintype.services.wakeups import Wakeup
from tintype.serving import Foundation, api_routes, dashboard_routes, identity_routes, serve
from tintype.settings import Settings

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
_FIRST: Final = frozenset({"MainProcess", "SpawnProcess-1"})
"""What Python calls the only process, and the first one of several."""
_SWITCH_SECONDS: Final = 0.001
"""For which a thread that computes may keep the event loop waiting; Python's own is five times as much."""
_THREADS: Final = 32
"""That read, hash and write at once, in each process."""


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
    worker: Worker
    app: ASGIApp
    base: Foundation


def lay(settings: Settings) -> Foundation:
    """Put together what does the work, on a data folder that `prepare` has seen."""
    set_level(settings.log.level)
    log = make_logger(settings.log.style)
    database, policy, stores = open_database(settings), open_policy(settings), open_stores(settings)
    limits, metrics = settings.images.limits(open_property_schema(settings)), Metrics()
    copies = Copies(stores, store_infos(settings))
    identity = open_identity(settings, database, policy)
    protections = open_protections(settings, policy)
    rights = Rights(policy, protections)
    signatures = Signatures(log, ignored=settings.images.signatures == "ignore")
    intake = Intake(
        database,
        limits,
        stores,
        algorithm=settings.images.hash_algorithm,
        tolerated=tolerated(settings),
        adopts=not settings.imports.plugins,
        signatures=signatures,
        log=log,
    )
    web = open_web(settings)
    jobs_added, condemned = Wakeup(), Wakeup()
    queue = JobQueue(database, settings.jobs.waiting_per_project, jobs_added)
    locations = Locations(database, policy, stores, copies, signatures, queue, condemned)
    check = _property_check(settings, database)
    locate = locations.shown if settings.locations.are_shown else None
    images = Images(database, policy, protections, limits, copies, check, condemned, locate)
    worker = Worker(
        database,
        _works(settings, database, policy, intake, copies, web, locations, check),
        log,
        metrics,
        concurrency=settings.jobs.concurrency,
        lifetime=settings.jobs.task_lifetime * 1_000_000,
    )
    cache = None
    if settings.cache.folder is not None:
        files = PieceFiles(settings.data_dir / settings.cache.folder)
        node = settings.cache.node or socket.gethostname()
        cache = Cache(database, copies, files, log, node=node, limit=settings.cache.limit)
    sweeper = Sweeper(database, intake, identity, log, metrics)
    jobs_added.subscribe(worker.wake)
    condemned.subscribe(sweeper.wake)
    return Foundation(
        settings,
        *(database, policy, stores, copies, intake, images, rights, identity, web, locations),
        *(metrics, worker, sweeper, cache, queue, condemned),
    )


def _property_check(settings: Settings, database: Database) -> PropertyCheck | None:
    wanted = settings.images.property_check
    return None if wanted == "off" else PropertyCheck(database, refuse=wanted == "refuse")


def _works(
    settings: Settings,
    database: Database,
    policy: Policy,
    intake: Intake,
    copies: Copies,
    web: Web,
    locations: Locations,
    check: PropertyCheck | None,
) -> dict[str, Work]:
    """Put together what is done for each type of job."""
    chosen, algorithm = settings.imports, settings.images.hash_algorithm
    importing = ImportWork(
        database,
        intake,
        copies,
        web,
        open_regions(settings, database, policy, copies),
        ImportOptions(
            open_plugins(settings),
            settings.data_dir / chosen.scratch,
            chosen.seconds,
            open_protections(settings, policy),
            check,
            chosen.copied_properties,
            chosen.min_source_rate,
        ),
    )
    locating = LocationWork(
        *(database, intake, copies, locations),
        algorithm=algorithm,
        seconds=chosen.seconds,
        min_source_rate=chosen.min_source_rate,
    )
    return {IMPORT: importing, LEGACY_IMPORT: importing, LOCATION: locating}


@contextlib.asynccontextmanager
async def at_work(base: Foundation, health: Health) -> AsyncIterator[None]:
    """Run what goes on without requests: sweeper, worker, cache; let go of everything at the end.

    Parts that do not work now are told of meanwhile, by the first process of several.
    """
    log = make_logger(base.settings.log.style)
    sys.setswitchinterval(_SWITCH_SECONDS)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "bytes"))
    going = [asyncio.create_task(base.sweeper.run())]
    if base.settings.jobs.concurrency:
        going.append(asyncio.create_task(base.worker.run()))
    if multiprocessing.current_process().name in _FIRST:
        going.append(asyncio.create_task(health.warn(log)))
    if base.cache is not None:
        going.append(asyncio.create_task(Prefetcher(base.cache, log).run()))
    try:
        yield
    finally:
        for task in going:
            task.cancel()
        await asyncio.wait(going)
        await base.web.close()
        for store in base.stores.values():
            await store.close()
        await base.database.close()


def build(settings: Settings) -> Parts:
    """Put the service together on a data folder that `prepare` has seen."""
    base = lay(settings)
    database, policy, intake = base.database, base.policy, base.intake
    log = make_logger(settings.log.style)
    builtin = BuiltinAuthenticator(base.identity)
    authenticator: Authenticator = builtin
    logins: Logins = BuiltinLogins(base.identity, builtin)
    if settings.keystone.auth_url is not None:
        authenticator, logins = open_keystone(settings, policy, log)
    throttle = _throttle(settings)
    data = ImageData(database, policy, intake)
    uploads = Uploads(
        database,
        policy,
        intake,
        lifetime=settings.images.upload_lifetime * 1_000_000,
        open_limit=settings.images.open_uploads,
    )
    health = Health(database, base.stores, authenticator.check)
    operations = OperationsApi(health, base.metrics, authenticator, policy, token=settings.metrics.token)
    served = serve(base, data, uploads, operations)
    routes = api_routes(served)
    if settings.dashboard.enabled:
        routes |= dashboard_routes(served, Guard(authenticator, throttle), logins, authenticator)
    if settings.keystone.auth_url is None:
        routes |= identity_routes(base, builtin)
    app = App(
        routes,
        authenticator,
        log,
        lambda: at_work(base, health),
        base.metrics,
        Front(
            public_url=settings.server.public_url,
            identity_url=settings.keystone.public_url or settings.keystone.auth_url,
            body_limit=settings.server.metadata_body_limit,
            throttle=throttle,
            minor_versions=minor_versions(cache=base.cache is not None),
        ),
    )
    return Parts(
        *(database, base.identity, base.images, intake, data, uploads, routes, Upkeep(database, intake)),
        *(base.sweeper, base.worker),
        app=_wrapped(app, settings),
        base=base,
    )


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
    if settings.server.trusted_proxies:
        app = ForwardedRequests(app, list(settings.server.trusted_proxies))
    return app
