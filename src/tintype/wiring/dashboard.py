"""The handlers of the dashboard, and its routes."""

from tintype.api import routes
from tintype.api.cache import CacheApi
from tintype.api.route import Route
from tintype.dashboard import sessions
from tintype.dashboard.guard import Guard
from tintype.dashboard.images import DashboardImages
from tintype.dashboard.members import DashboardMembers
from tintype.dashboard.metadefs import DashboardMetadefs
from tintype.dashboard.pages import Pages
from tintype.dashboard.routes import Handlers, dashboard_table
from tintype.dashboard.service import DashboardService
from tintype.dashboard.sessions import Sessions
from tintype.dashboard.spool import Spool
from tintype.dashboard.tasks import DashboardTasks
from tintype.settings import Settings
from tintype.settings.stores import FileStore
from tintype.wiring.background import Background


def create_dashboard_routes(
    service: Background, api: routes.Handlers, cache_api: CacheApi
) -> dict[str, Route]:
    """Create the routes of the dashboard."""
    chosen = service.settings.dashboard
    to = Handlers(
        Guard(service.authenticator, service.throttle),
        Pages(),
        Sessions(service.logins, service.authenticator, service.rights, _description(service)),
        DashboardImages(
            service.images,
            service.data,
            service.imports,
            service.locations,
            service.rights,
            service.logins,
            service.limits,
            api.images,
            api.data,
            _spool(service.settings),
        ),
        DashboardMetadefs(service.metadefs, service.rights),
        DashboardMembers(service.images, service.members, api.images, service.logins),
        DashboardTasks(
            service.tasks,
            api.imports,
            service.authenticator,
            streams=chosen.streams,
            user_streams=chosen.user_streams,
        ),
        DashboardService(service.info),
        api.images,
        api.members,
        api.tags,
        api.stores,
        api.uploads,
        None if service.cache is None else cache_api,
    )
    return dashboard_table(to, api.info.choices)


def _description(service: Background) -> sessions.Service:
    chosen = service.settings.images
    return sessions.Service(
        import_methods=service.settings.imports.methods,
        disk_formats=chosen.disk_formats,
        container_formats=chosen.container_formats,
        size_limit=chosen.size_limit,
        cache=service.cache is not None,
    )


def _spool(settings: Settings) -> Spool:
    """Create the spool for files in forms; its disk is probably a store's, so it keeps the same reserve."""
    reserves = [store.reserve for store in settings.stores.values() if isinstance(store, FileStore)]
    folder = settings.data_dir / settings.imports.scratch
    return Spool(folder, most=settings.server.form_spool_limit, reserve=max(reserves, default=0))
