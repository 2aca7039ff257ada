"""What is served: the use cases, and the handlers of the API and of the page that call them."""

from collections.abc import Mapping

import msgspec

from tintype.api.application_credentials import ApplicationCredentialsApi
from tintype.api.cache import CacheApi
from tintype.api.data import DataApi
from tintype.api.identity import IdentityApi
from tintype.api.identity_wire import TokenReader
from tintype.api.images import ImageOptions, ImagesApi
from tintype.api.imports import ImportsApi
from tintype.api.info import InfoApi
from tintype.api.locations import LocationsApi
from tintype.api.members import MembersApi
from tintype.api.metadefs import MetadefsApi
from tintype.api.operations import OperationsApi
from tintype.api.projects import ProjectsApi
from tintype.api.roles import RolesApi
from tintype.api.route import Route
from tintype.api.routes import (
    Handlers,
    IdentityHandlers,
    cache_table,
    identity_table,
    metadefs_table,
    table,
)
from tintype.api.slots import DownloadSlots
from tintype.api.stores import StoresApi
from tintype.api.tags import TagsApi
from tintype.api.tasks import TasksApi
from tintype.api.uploads import UploadsApi
from tintype.api.users import UsersApi
from tintype.auth.base import Authenticator, Logins
from tintype.auth.builtin import BuiltinAuthenticator
from tintype.blobs.base import BlobStore
from tintype.blobs.web import Web
from tintype.dashboard.guard import Guard
from tintype.dashboard.images import DashboardImages, Ways
from tintype.dashboard.members import DashboardMembers
from tintype.dashboard.metadefs import DashboardMetadefs
from tintype.dashboard.pages import Pages
from tintype.dashboard.routes import Handlers as DashboardHandlers
from tintype.dashboard.routes import dashboard_table
from tintype.dashboard.service import DashboardService
from tintype.dashboard.sessions import Service, Sessions
from tintype.dashboard.spool import Spool
from tintype.dashboard.tasks import DashboardTasks
from tintype.db.engine import Database
from tintype.jobs.sweeper import Sweeper
from tintype.jobs.worker import Worker
from tintype.observability.metrics import Metrics
from tintype.policy.engine import Policy
from tintype.services.cache import Cache
from tintype.services.cached_images import CachedImages
from tintype.services.copies import Copies
from tintype.services.data import ImageData, Intake
from tintype.services.downloads import Downloads
from tintype.services.identity import Identity
from tintype.services.images import Images
from tintype.services.imports import Imports
from tintype.services.info import Info
from tintype.services.locations import Locations
from tintype.services.members import Members
from tintype.services.metadefs import Metadefs
from tintype.services.queue import JobQueue
from tintype.services.rights import Rights
from tintype.services.stores import Stores
from tintype.services.tags import Tags
from tintype.services.tasks import Tasks
from tintype.services.uploads import Uploads
from tintype.services.wakeups import Wakeup
from tintype.settings import Settings
from tintype.settings.stores import FileStore


class Foundation(msgspec.Struct, frozen=True):
    """What the use cases, the jobs and the commands stand on."""

    settings: Settings
    database: Database
    policy: Policy
    stores: Mapping[str, BlobStore]
    copies: Copies
    intake: Intake
    images: Images
    rights: Rights
    identity: Identity
    web: Web
    locations: Locations
    metrics: Metrics
    worker: Worker
    sweeper: Sweeper
    cache: Cache | None
    queue: JobQueue
    condemned: Wakeup


class Served(msgspec.Struct, frozen=True):
    """The use cases that the API and the page share, and the API's handlers."""

    base: Foundation
    data: ImageData
    info: Info
    imports: Imports
    tasks: Tasks
    members: Members
    metadefs: Metadefs
    handlers: Handlers
    cache_api: CacheApi


def serve(base: Foundation, data: ImageData, uploads: Uploads, operations: OperationsApi) -> Served:
    """Put the use cases together, and the handlers of the API."""
    settings, database, policy = base.settings, base.database, base.policy
    limits, methods = base.intake.limits, settings.imports.methods
    info = Info(database, policy, base.stores, base.copies.infos)
    imports = Imports(
        database,
        policy,
        base.copies.infos,
        base.web,
        base.images,
        base.intake.signatures,
        base.queue,
        methods=methods,
    )
    tasks = Tasks(database, policy, end=base.worker.end)
    members = Members(database, policy, limits)
    options = ImageOptions(
        **_pages(settings),
        shows_locations=settings.locations.show_multiple,
        shows_direct_url=settings.locations.show_direct_url,
        methods=methods,
    )
    handlers = Handlers(
        ImagesApi(base.images, base.locations, info, limits, options),
        DataApi(
            data,
            Downloads(database, policy, base.copies, base.cache),
            DownloadSlots(settings.images.parallel_downloads),
        ),
        UploadsApi(uploads, limits),
        TagsApi(Tags(database, policy, limits, base.images)),
        MembersApi(members),
        ImportsApi(imports),
        TasksApi(tasks, imports, **_pages(settings)),
        LocationsApi(base.locations),
        StoresApi(Stores(database, policy, base.copies, base.condemned)),
        InfoApi(info, limits, methods=methods, cache=base.cache is not None),
        operations,
    )
    cache_api = CacheApi(CachedImages(database, policy, base.cache))
    metadefs = Metadefs(database, policy, namespaces=settings.metadefs.namespaces)
    return Served(base, data, info, imports, tasks, members, metadefs, handlers, cache_api)


def api_routes(served: Served) -> dict[str, Route]:
    """Give the routes of the image API."""
    metadefs = MetadefsApi(served.metadefs, **_pages(served.base.settings))
    return table(served.handlers) | cache_table(served.cache_api) | metadefs_table(metadefs)


def identity_routes(base: Foundation, authenticator: BuiltinAuthenticator) -> dict[str, Route]:
    """Return the routes of the built-in identity."""
    identity, reader = base.identity, TokenReader(authenticator)
    return identity_table(
        IdentityHandlers(
            IdentityApi(identity, reader, region=base.settings.identity.region),
            ProjectsApi(identity.projects, reader),
            UsersApi(identity.users, reader),
            RolesApi(identity, reader),
            ApplicationCredentialsApi(identity.application_credentials, reader),
        )
    )


def _spool(settings: Settings) -> Spool:
    """Put together where files of forms wait; the disk is likely that of a store, and keeps its reserve."""
    reserves = [store.reserve for store in settings.stores.values() if isinstance(store, FileStore)]
    folder = settings.data_dir / settings.imports.scratch
    return Spool(folder, most=settings.server.form_spool_limit, reserve=max(reserves, default=0))


def dashboard_routes(
    served: Served, guard: Guard, logins: Logins, authenticator: Authenticator
) -> dict[str, Route]:
    """Give the routes of the page; one of them stands before the API's `/`."""
    base, handlers = served.base, served.handlers
    chosen = base.settings.images
    service = Service(
        import_methods=base.settings.imports.methods,
        disk_formats=chosen.disk_formats,
        container_formats=chosen.container_formats,
        size_limit=chosen.size_limit,
        cache=base.cache is not None,
    )
    ways = Ways(
        *(base.images, served.data, served.imports, base.locations, base.rights),
        *(logins, base.intake.limits),
    )
    to = DashboardHandlers(
        guard,
        Pages(),
        Sessions(logins, authenticator, base.rights, service),
        DashboardImages(ways, handlers.images, handlers.data, _spool(base.settings)),
        DashboardMetadefs(served.metadefs, base.rights),
        DashboardMembers(base.images, served.members, handlers.images, logins),
        DashboardTasks(
            served.tasks,
            handlers.imports,
            authenticator,
            streams=base.settings.dashboard.streams,
            user_streams=base.settings.dashboard.user_streams,
        ),
        DashboardService(served.info),
        *(handlers.images, handlers.members, handlers.tags, handlers.stores, handlers.uploads),
        None if base.cache is None else served.cache_api,
    )
    return dashboard_table(to, handlers.info.choices)


def _pages(settings: Settings) -> dict[str, int]:
    return {"page_size": settings.images.page_size, "max_page_size": settings.images.max_page_size}
