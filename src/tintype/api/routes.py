"""The table of routes. 405, `Allow`, `OPTIONS` and `docs/reference/routes.md` are derived from it."""

import msgspec

from tintype.api.application_credentials import ApplicationCredentialsApi
from tintype.api.cache import CacheApi
from tintype.api.data import DataApi
from tintype.api.docs import PAGE_HEADERS, DocsApi
from tintype.api.identity import IdentityApi
from tintype.api.images import ImagesApi
from tintype.api.imports import ImportsApi
from tintype.api.info import InfoApi
from tintype.api.locations import LocationsApi
from tintype.api.members import MembersApi
from tintype.api.metadefs import MetadefsApi
from tintype.api.operations import OperationsApi
from tintype.api.projects import ProjectsApi
from tintype.api.roles import RolesApi
from tintype.api.route import Endpoint, Route
from tintype.api.stores import StoresApi
from tintype.api.tags import TagsApi
from tintype.api.tasks import TasksApi
from tintype.api.uploads import UploadsApi
from tintype.api.users import UsersApi


class Handlers(msgspec.Struct, frozen=True):
    """The handlers of the image API, by noun."""

    images: ImagesApi
    data: DataApi
    uploads: UploadsApi
    tags: TagsApi
    members: MembersApi
    imports: ImportsApi
    tasks: TasksApi
    locations: LocationsApi
    stores: StoresApi
    info: InfoApi
    operations: OperationsApi


def table(to: Handlers) -> dict[str, Route]:
    """Return the routes of images. Parameters are in braces; `{name...}` may contain slashes."""
    # fmt: off
    return {
        "/":                                    Route({"GET": to.info.choices, "HEAD": to.info.choices}, open=True),
        "/versions":                            Route({"GET": to.info.versions}, open=True),
        "/v2":                                  Route({"GET": to.info.versions}, open=True),
        "/healthcheck":                         Route({"GET": to.operations.ready, "HEAD": to.operations.ready}, open=True),
        "/healthcheck/live":                    Route({"GET": to.operations.live, "HEAD": to.operations.live}, open=True),
        "/healthcheck/detail":                  Route({"GET": to.operations.detail}, open=True),
        "/metrics":                             Route({"GET": to.operations.metrics}, open=True),

        "/v2/images":                           Route({"GET": to.images.index, "POST": to.images.create}),
        "/v2/images/{id}":                      Route({"GET": to.images.show, "PATCH": to.images.update, "DELETE": to.images.delete}),
        "/v2/images/{id}/actions/deactivate":   Route({"POST": to.images.deactivate}),
        "/v2/images/{id}/actions/reactivate":   Route({"POST": to.images.reactivate}),
        "/v2/images/{id}/tasks":                Route({"GET": to.tasks.of_image}),
        "/v2/images/{id}/import":               Route({"POST": to.imports.create}),
        "/v2/images/{id}/locations":            Route({"GET": to.locations.index, "POST": to.locations.create}),
        "/v2/images/{id}/file":                 Route({"GET": to.data.download, "HEAD": to.data.download, "PUT": to.data.upload}),
        "/v2/images/{id}/stage":                Route({"PUT": to.data.stage}),
        "/v2/images/{id}/uploads":              Route({"GET": to.uploads.index, "POST": to.uploads.create},
                                                      headers=to.uploads.headers, options=to.uploads.options),
        "/v2/images/{id}/uploads/{upload}":     Route({"HEAD": to.uploads.show, "PATCH": to.uploads.append, "DELETE": to.uploads.remove,
                                                       "POST": to.uploads.override}, headers=to.uploads.headers, options=to.uploads.options),
        "/v2/images/{id}/tags/{tag...}":        Route({"PUT": to.tags.add, "DELETE": to.tags.remove}),
        "/v2/images/{id}/members":              Route({"GET": to.members.index, "POST": to.members.create}),
        "/v2/images/{id}/members/{member...}":  Route({"GET": to.members.show, "PUT": to.members.update, "DELETE": to.members.delete}),

        "/v2/stores/{store}/{id}":              Route({"DELETE": to.stores.delete_copy}),
        "/v2/tasks":                            Route({"GET": to.tasks.index, "POST": to.tasks.create}),
        "/v2/tasks/{id}":                       Route({"GET": to.tasks.show}),
        "/v2/tasks/{id}/actions/cancel":        Route({"POST": to.tasks.cancel}),

        "/v2/schemas/{name}":                   Route({"GET": to.info.schema}),
        "/v2/schemas/metadefs/{name}":          Route({"GET": to.info.schema}),
        "/v2/info/import":                      Route({"GET": to.info.import_methods}),
        "/v2/info/stores":                      Route({"GET": to.info.stores}),
        "/v2/info/stores/detail":               Route({"GET": to.info.stores_detail}),
        "/v2/info/usage":                       Route({"GET": to.info.usage}),
    }
    # fmt: on


def docs_table(docs: DocsApi) -> dict[str, Route]:
    """Return the routes of the API's document, and of the page that shows it."""
    return {
        "/openapi.json": Route({"GET": docs.document, "HEAD": docs.document}, open=True),
        "/docs": Route({"GET": docs.home, "HEAD": docs.home}, open=True),
        "/docs/": Route({"GET": docs.index, "HEAD": docs.index}, open=True, headers=PAGE_HEADERS),
        "/docs/{name}": Route({"GET": docs.file, "HEAD": docs.file}, open=True, headers=PAGE_HEADERS),
    }


def cache_table(cache: CacheApi) -> dict[str, Route]:
    """Return the routes of the cache, and those of older versions of Glance, which return 404 if it is off."""
    return {
        "/v2/cache": Route({"GET": cache.index, "DELETE": cache.clear}),
        "/v2/cache/{id}": Route({"PUT": cache.queue, "DELETE": cache.delete}),
        "/v2/cache/clean": Route({"POST": cache.clean}),
        "/v2/cache/prune": Route({"POST": cache.prune}),
        "/v2/cache/nodes/{id}": Route({"GET": cache.nodes}),
        "/v2/cached_images": Route({"GET": cache.cached, "DELETE": cache.clear_cached}),
        "/v2/cached_images/{id}": Route({"DELETE": cache.delete_cached}),
        "/v2/queued_images": Route({"GET": cache.queued, "DELETE": cache.clear_queued}),
        "/v2/queued_images/{id}": Route({"PUT": cache.enqueue, "DELETE": cache.delete_queued}),
    }


def metadefs_table(metadefs: MetadefsApi) -> dict[str, Route]:
    """Return the routes of metadata definitions."""
    types, namespaces = "/v2/metadefs/resource_types", "/v2/metadefs/namespaces"
    one = f"{namespaces}/{{namespace...}}"
    # fmt: off
    return {
        types:                               Route({"GET": metadefs.resource_types}),
        namespaces:                          Route({"GET": metadefs.index, "POST": metadefs.create}),
        one:                                 Route({"GET": metadefs.show, "PUT": metadefs.update, "DELETE": metadefs.delete}),
        f"{one}/resource_types":             Route({"GET": metadefs.list_associations, "POST": metadefs.create_association}),
        f"{one}/resource_types/{{name...}}": Route({"DELETE": metadefs.delete_association}),
        f"{one}/properties":                 Route({"GET": metadefs.list_properties, "POST": metadefs.create_property,
                                                    "DELETE": metadefs.clear_properties}),
        f"{one}/properties/{{name...}}":     Route({"GET": metadefs.show_property, "PUT": metadefs.update_property,
                                                    "DELETE": metadefs.delete_property}),
        f"{one}/objects":                    Route({"GET": metadefs.list_objects, "POST": metadefs.create_object,
                                                    "DELETE": metadefs.clear_objects}),
        f"{one}/objects/{{name...}}":        Route({"GET": metadefs.show_object, "PUT": metadefs.update_object,
                                                    "DELETE": metadefs.delete_object}),
        f"{one}/tags":                       Route({"GET": metadefs.list_tags, "POST": metadefs.create_tags,
                                                    "DELETE": metadefs.clear_tags}),
        f"{one}/tags/{{name...}}":           Route({"GET": metadefs.show_tag, "POST": metadefs.create_tag,
                                                    "PUT": metadefs.update_tag, "DELETE": metadefs.delete_tag}),
    }
    # fmt: on


class IdentityHandlers(msgspec.Struct, frozen=True):
    """The handlers of the built-in identity, by noun."""

    tokens: IdentityApi
    projects: ProjectsApi
    users: UsersApi
    roles: RolesApi
    credentials: ApplicationCredentialsApi


def identity_table(to: IdentityHandlers) -> dict[str, Route]:
    """Return the routes of the built-in identity; their handlers check tokens themselves."""
    tokens, projects, users, roles, credentials = to.tokens, to.projects, to.users, to.roles, to.credentials
    granted, mine = "/v3/projects/{id}/users/{user}/roles", "/v3/users/{id}/application_credentials"
    # fmt: off
    methods: dict[str, dict[str, Endpoint]] = {
        "":                          {"GET": tokens.choices},
        "/v3":                       {"GET": tokens.version},
        "/v3/auth/tokens":           {"POST": tokens.login, "GET": tokens.show_token,
                                      "HEAD": tokens.show_token, "DELETE": tokens.revoke},
        "/v3/auth/catalog":          {"GET": tokens.catalog},
        "/v3/auth/projects":         {"GET": projects.mine},
        "/v3/domains":               {"GET": tokens.domains},
        "/v3/domains/{id}":          {"GET": tokens.domain},
        "/v3/projects":              {"GET": projects.index, "POST": projects.create},
        "/v3/projects/{id}":         {"GET": projects.show, "PATCH": projects.update, "DELETE": projects.delete},
        granted:                     {"GET": roles.granted},
        f"{granted}/{{role}}":       {"GET": roles.check, "HEAD": roles.check, "PUT": roles.grant,
                                      "DELETE": roles.withdraw},
        "/v3/users":                 {"GET": users.index, "POST": users.create},
        "/v3/users/{id}":            {"GET": users.show, "PATCH": users.update, "DELETE": users.delete},
        "/v3/users/{id}/password":   {"POST": users.change_password},
        "/v3/users/{id}/projects":   {"GET": projects.of_user},
        mine:                        {"GET": credentials.index, "POST": credentials.create},
        f"{mine}/{{credential}}":    {"GET": credentials.show, "DELETE": credentials.delete},
        "/v3/roles":                 {"GET": roles.index},
        "/v3/roles/{id}":            {"GET": roles.show},
        "/v3/role_assignments":      {"GET": roles.assignments},
    }
    # fmt: on
    return {f"/identity{path}": Route(each, open=True) for path, each in methods.items()}
