"""The routes of the dashboard. Each is served with and without a trailing slash."""

from collections.abc import Callable, Mapping

import msgspec

from tintype.api.cache import CacheApi
from tintype.api.images import ImagesApi
from tintype.api.members import MembersApi
from tintype.api.route import Endpoint, Route
from tintype.api.stores import StoresApi
from tintype.api.tags import TagsApi
from tintype.api.uploads import UploadsApi
from tintype.dashboard.guard import Guard
from tintype.dashboard.images import DashboardImages
from tintype.dashboard.members import DashboardMembers
from tintype.dashboard.metadefs import DashboardMetadefs
from tintype.dashboard.pages import ANSWER_HEADERS, HEADERS, Pages
from tintype.dashboard.service import DashboardService
from tintype.dashboard.sessions import Sessions
from tintype.dashboard.tasks import DashboardTasks


class Handlers(msgspec.Struct, frozen=True):
    """The handlers of the dashboard: its own, and those of the image API that return no body."""

    guard: Guard
    pages: Pages
    sessions: Sessions
    images: DashboardImages
    metadefs: DashboardMetadefs
    members: DashboardMembers
    tasks: DashboardTasks
    service: DashboardService
    images_api: ImagesApi
    members_api: MembersApi
    tags_api: TagsApi
    stores_api: StoresApi
    uploads_api: UploadsApi
    cache_api: CacheApi | None


def dashboard_table(to: Handlers, choices: Endpoint) -> dict[str, Route]:
    """Return the routes of the dashboard; `choices` handles requests for `/` that are not redirected."""
    front = to.pages.front(choices)
    pages = {
        "/": Route({"GET": front, "HEAD": front}, open=True),
        "/dashboard": Route({"GET": to.pages.home}, open=True),
        "/dashboard/": Route({"GET": to.pages.index}, open=True, headers=HEADERS),
        "/dashboard/{name}": Route({"GET": to.pages.file}, open=True, headers=HEADERS),
    }
    opened = _opened(to)
    scripts = {path: _each(methods, to.guard.script) for path, methods in _scripts(to).items()}
    links = {path: _each(methods, to.guard.link) for path, methods in _links(to).items()}
    for path, methods in {**opened, **scripts, **links}.items():
        tus = path.startswith("/api/glance/images/{id}/uploads")
        headers = (*ANSWER_HEADERS, *(to.uploads_api.headers if tus else ()))
        for form in (path, f"{path}/"):
            pages[form] = Route(dict(methods), open=True, headers=headers)
    return pages


def _opened(to: Handlers) -> dict[str, Mapping[str, Endpoint]]:
    """Return the routes that need no session."""
    sessions = to.sessions
    methods = {
        "GET": sessions.show,
        "POST": sessions.create,
        "PUT": sessions.update,
        "DELETE": sessions.delete,
    }
    return {"/api/session": _each(methods, to.guard.open)}


def _links(to: Handlers) -> dict[str, Mapping[str, Endpoint]]:
    """Return the routes that browsers themselves request."""
    return {
        "/api/glance/images/{id}/file": {"GET": to.images.download},
        "/api/glance/events": {"GET": to.tasks.events},
    }


def _scripts(to: Handlers) -> dict[str, Mapping[str, Endpoint]]:
    """Return the routes that scripts call: Horizon's paths first, then ours in the same style."""
    image, namespace = "/api/glance/images/{id}", "/api/glance/metadefs/namespaces/{namespace}"
    # fmt: off
    found: dict[str, Mapping[str, Endpoint]] = {
        "/api/glance/version":                 {"GET": to.images.version},
        "/api/glance/images":                  {"GET": to.images.index, "POST": to.images.create_with_file,
                                                "PUT": to.images.create},
        image:                                 {"GET": to.images.show, "PATCH": to.images.update,
                                                "DELETE": to.images_api.delete},
        f"{image}/properties":                 {"GET": to.images.show_properties, "PATCH": to.images.update_properties},
        f"{image}/actions/deactivate":         {"POST": to.images_api.deactivate},
        f"{image}/actions/reactivate":         {"POST": to.images_api.reactivate},
        "/api/glance/metadefs/namespaces":     {"GET": to.metadefs.index, "POST": to.metadefs.create},
        "/api/glance/metadefs/resourcetypes":  {"GET": to.metadefs.resource_types},

        f"{image}/uploads":                    {"GET": to.uploads_api.index, "POST": to.uploads_api.create},
        f"{image}/uploads/{{upload}}":         {"HEAD": to.uploads_api.show, "PATCH": to.uploads_api.append,
                                                "DELETE": to.uploads_api.remove},
        f"{image}/import":                     {"POST": to.tasks.begin},
        f"{image}/tasks":                      {"GET": to.tasks.of_image},
        f"{image}/copies":                     {"POST": to.tasks.copy},
        f"{image}/copies/{{store}}":           {"DELETE": to.stores_api.delete_copy},
        f"{image}/members":                    {"GET": to.members.index, "POST": to.members.create},
        f"{image}/members/{{member}}":         {"PUT": to.members.update, "DELETE": to.members_api.delete},
        "/api/glance/offers":                  {"GET": to.members.offers},
        f"{image}/tags/{{tag}}":               {"PUT": to.tags_api.add, "DELETE": to.tags_api.remove},
        namespace:                             {"GET": to.metadefs.show, "PATCH": to.metadefs.update,
                                                "DELETE": to.metadefs.delete},
        f"{namespace}/resource_types":         {"GET": to.metadefs.associations, "PUT": to.metadefs.update_associations},
        "/api/glance/tasks":                   {"GET": to.tasks.index},
        "/api/glance/tasks/{id}":              {"GET": to.tasks.show},
        "/api/glance/tasks/{id}/actions/cancel": {"POST": to.tasks.cancel},
        "/api/glance/stores":                  {"GET": to.service.stores},
        "/api/glance/usage":                   {"GET": to.service.usage},
    }
    # fmt: on
    if to.cache_api is not None:
        found["/api/glance/cache"] = {"GET": to.cache_api.index, "DELETE": to.cache_api.clear}
        found["/api/glance/cache/{id}"] = {"PUT": to.cache_api.queue, "DELETE": to.cache_api.delete}
    return found


def _each(methods: Mapping[str, Endpoint], guard: Callable[[Endpoint], Endpoint]) -> Mapping[str, Endpoint]:
    return {method: guard(endpoint) for method, endpoint in methods.items()}
