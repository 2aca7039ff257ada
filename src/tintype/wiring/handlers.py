"""The handlers of the API, and its routes."""

from tintype import __version__
from tintype.api.application_credentials import ApplicationCredentialsApi
from tintype.api.cache import CacheApi
from tintype.api.data import DataApi
from tintype.api.docs import DocsApi
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
    docs_table,
    identity_table,
    metadefs_table,
    table,
)
from tintype.api.stores import StoresApi
from tintype.api.tags import TagsApi
from tintype.api.tasks import TasksApi
from tintype.api.uploads import UploadsApi
from tintype.api.users import UsersApi
from tintype.services.downloads import Downloads
from tintype.services.quotas import Slots
from tintype.services.stores import Stores
from tintype.settings import Settings
from tintype.wiring.background import Background
from tintype.wiring.dashboard import create_dashboard_routes


def create_routes(service: Background, handlers: Handlers, cache_api: CacheApi) -> dict[str, Route]:
    """Create all routes; one of the dashboard precedes the API's `/`."""
    settings = service.settings
    metadefs = MetadefsApi(service.metadefs, **_pages(settings))
    routes = table(handlers) | cache_table(cache_api) | metadefs_table(metadefs)
    if settings.dashboard.enabled:
        routes |= create_dashboard_routes(service, handlers, cache_api)
    if settings.keystone.auth_url is None:
        routes |= _identity_routes(service)
    if settings.server.docs:
        routes |= docs_table(DocsApi(routes, service.limits, __version__))
    return routes


def create_handlers(service: Background) -> Handlers:
    """Create the handlers of the image API."""
    settings, database, policy, limits = service.settings, service.database, service.policy, service.limits
    methods = settings.imports.methods
    options = ImageOptions(
        **_pages(settings),
        shows_locations=settings.locations.show_multiple,
        shows_direct_url=settings.locations.show_direct_url,
        methods=methods,
    )
    return Handlers(
        ImagesApi(service.images, service.locations, service.info, limits, options),
        DataApi(
            service.data,
            Downloads(database, service.access, service.copies, service.cache),
            Slots(settings.images.parallel_downloads, "downloads"),
        ),
        UploadsApi(service.uploads, service.upload_slots, limits),
        TagsApi(service.images),
        MembersApi(service.members),
        ImportsApi(service.imports),
        TasksApi(service.tasks, service.imports, **_pages(settings)),
        LocationsApi(service.locations),
        StoresApi(Stores(database, service.access, service.copies, service.blobs_condemned)),
        InfoApi(service.info, limits, methods=methods, cache=service.cache is not None),
        OperationsApi(
            service.health, service.metrics, service.authenticator, policy, token=settings.metrics.token
        ),
    )


def _identity_routes(service: Background) -> dict[str, Route]:
    identity, reader = service.identity, TokenReader(service.identity.tokens)
    return identity_table(
        IdentityHandlers(
            IdentityApi(identity, reader, region=service.settings.identity.region),
            ProjectsApi(identity.projects, reader),
            UsersApi(identity.users, reader),
            RolesApi(identity, reader),
            ApplicationCredentialsApi(identity.application_credentials, reader),
        )
    )


def _pages(settings: Settings) -> dict[str, int]:
    return {"page_size": settings.images.page_size, "max_page_size": settings.images.max_page_size}
