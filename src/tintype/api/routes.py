"""The URL space on one screen. 405, `Allow`, `OPTIONS` and `docs/reference/routes.md` come from it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.responses import Response

from tintype.api.data import DataApi
from tintype.api.identity import IdentityApi
from tintype.api.images import ImagesApi
from tintype.api.info import InfoApi
from tintype.api.members import MembersApi
from tintype.api.metadefs import MetadefsApi
from tintype.api.operations import OperationsApi
from tintype.api.tags import TagsApi
from tintype.api.uploads import UploadsApi

Endpoint = Callable[[Any], Awaitable[Response]]
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Route(msgspec.Struct, frozen=True):
    """What may be done at a path. An open route needs no token."""

    methods: dict[str, Endpoint]
    open: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Of every answer, failures too."""
    options: dict[str, str] = {}
    """Headers of the answer to OPTIONS."""

    @property
    def allow(self) -> str:
        """Give the value of the `Allow` header."""
        return ", ".join(method for method in _METHODS if method in self.methods)


def table(
    images: ImagesApi,
    data: DataApi,
    uploads: UploadsApi,
    tags: TagsApi,
    members: MembersApi,
    info: InfoApi,
    operations: OperationsApi,
) -> dict[str, Route]:
    """Give every route of images. Parameters stand in braces."""
    # fmt: off
    return {
        "/":                                    Route({"GET": info.choices, "HEAD": info.choices}, open=True),
        "/versions":                            Route({"GET": info.versions}, open=True),
        "/versions/":                           Route({"GET": info.versions}, open=True),
        "/healthcheck":                         Route({"GET": operations.ready, "HEAD": operations.ready}, open=True),
        "/healthcheck/live":                    Route({"GET": operations.live, "HEAD": operations.live}, open=True),
        "/healthcheck/detail":                  Route({"GET": operations.detail}, open=True),
        "/metrics":                             Route({"GET": operations.numbers}, open=True),

        "/v2/images":                           Route({"GET": images.index, "POST": images.create}),
        "/v2/images/{id}":                      Route({"GET": images.show, "PATCH": images.update, "DELETE": images.delete}),
        "/v2/images/{id}/actions/deactivate":   Route({"POST": images.deactivate}),
        "/v2/images/{id}/actions/reactivate":   Route({"POST": images.reactivate}),
        "/v2/images/{id}/tasks":                Route({"GET": images.tasks}),
        "/v2/images/{id}/file":                 Route({"GET": data.download, "HEAD": data.download, "PUT": data.upload}),
        "/v2/images/{id}/stage":                Route({"PUT": data.stage}),
        "/v2/images/{id}/uploads":              Route({"GET": uploads.index, "POST": uploads.create},
                                                      headers=uploads.headers, options=uploads.options),
        "/v2/images/{id}/uploads/{upload}":     Route({"HEAD": uploads.show, "PATCH": uploads.append, "DELETE": uploads.remove,
                                                       "POST": uploads.override}, headers=uploads.headers, options=uploads.options),
        "/v2/images/{id}/tags/{tag}":           Route({"PUT": tags.add, "DELETE": tags.remove}),
        "/v2/images/{id}/members":              Route({"GET": members.index, "POST": members.create}),
        "/v2/images/{id}/members/{member}":     Route({"GET": members.show, "PUT": members.update, "DELETE": members.delete}),

        "/v2/schemas/{name}":                   Route({"GET": info.schema}),
        "/v2/schemas/metadefs/{name}":          Route({"GET": info.schema}),
        "/v2/info/import":                      Route({"GET": info.import_methods}),
        "/v2/info/stores":                      Route({"GET": info.stores}),
        "/v2/info/stores/detail":               Route({"GET": info.stores_detail}),
        "/v2/info/usage":                       Route({"GET": info.usage}),
    }
    # fmt: on


def metadefs_table(metadefs: MetadefsApi) -> dict[str, Route]:
    """Give the routes of metadata definitions."""
    types, namespaces = "/v2/metadefs/resource_types", "/v2/metadefs/namespaces"
    one = f"{namespaces}/{{namespace}}"
    # fmt: off
    return {
        types:                            Route({"GET": metadefs.resource_types}),
        namespaces:                       Route({"GET": metadefs.index, "POST": metadefs.create}),
        one:                              Route({"GET": metadefs.show, "PUT": metadefs.update, "DELETE": metadefs.delete}),
        f"{one}/resource_types":          Route({"GET": metadefs.list_associations, "POST": metadefs.create_association}),
        f"{one}/resource_types/{{name}}": Route({"DELETE": metadefs.delete_association}),
        f"{one}/properties":              Route({"GET": metadefs.list_properties, "POST": metadefs.create_property,
                                                 "DELETE": metadefs.clear_properties}),
        f"{one}/properties/{{name}}":     Route({"GET": metadefs.show_property, "PUT": metadefs.update_property,
                                                 "DELETE": metadefs.delete_property}),
        f"{one}/objects":                 Route({"GET": metadefs.list_objects, "POST": metadefs.create_object,
                                                 "DELETE": metadefs.clear_objects}),
        f"{one}/objects/{{name}}":        Route({"GET": metadefs.show_object, "PUT": metadefs.update_object,
                                                 "DELETE": metadefs.delete_object}),
        f"{one}/tags":                    Route({"GET": metadefs.list_tags, "POST": metadefs.create_tags,
                                                 "DELETE": metadefs.clear_tags}),
        f"{one}/tags/{{name}}":           Route({"GET": metadefs.show_tag, "POST": metadefs.create_tag,
                                                 "PUT": metadefs.update_tag, "DELETE": metadefs.delete_tag}),
    }
    # fmt: on


def identity_table(identity: IdentityApi) -> dict[str, Route]:
    """Give the routes of the built-in identity."""
    # fmt: off
    return {
        "/identity":                            Route({"GET": identity.choices}, open=True),
        "/identity/v3":                         Route({"GET": identity.version}, open=True),
        "/identity/":                           Route({"GET": identity.choices}, open=True),
        "/identity/v3/":                        Route({"GET": identity.version}, open=True),
        "/identity/v3/auth/tokens":             Route({"POST": identity.login, "GET": identity.show_token,
                                                       "HEAD": identity.show_token, "DELETE": identity.revoke}, open=True),
        "/identity/v3/auth/catalog":            Route({"GET": identity.catalog}, open=True),
        "/identity/v3/auth/projects":           Route({"GET": identity.my_projects}, open=True),
        "/identity/v3/domains":                 Route({"GET": identity.domains}, open=True),
        "/identity/v3/domains/{id}":            Route({"GET": identity.domain}, open=True),
        "/identity/v3/projects":                Route({"GET": identity.projects}, open=True),
        "/identity/v3/projects/{id}":           Route({"GET": identity.project}, open=True),
        "/identity/v3/users":                   Route({"GET": identity.users}, open=True),
        "/identity/v3/users/{id}":              Route({"GET": identity.user}, open=True),
        "/identity/v3/users/{id}/projects":     Route({"GET": identity.user_projects}, open=True),
        "/identity/v3/roles":                   Route({"GET": identity.roles}, open=True),
    }
    # fmt: on
