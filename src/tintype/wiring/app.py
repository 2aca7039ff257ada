"""The ASGI application and its middleware."""

from collections.abc import Mapping
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from tintype.api.app import App, Front
from tintype.api.base_url import ForwardedRequests
from tintype.api.info import minor_versions
from tintype.api.route import Route
from tintype.observability.tracing import add_tracing
from tintype.settings import Settings
from tintype.wiring.background import Background
from tintype.wiring.lifespan import lifespan

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


def create_app(service: Background, routes: Mapping[str, Route]) -> ASGIApp:
    """Create the application."""
    settings = service.settings
    app = App(
        routes,
        service.authenticator,
        service.log,
        lambda: lifespan(service, service.health),
        service.metrics,
        Front(
            public_url=settings.server.public_url,
            identity_url=settings.keystone.public_url or settings.keystone.auth_url,
            body_limit=settings.server.metadata_body_limit,
            throttle=service.throttle,
            minor_versions=minor_versions(cache=service.cache is not None),
        ),
    )
    return _wrapped(app, settings)


def _wrapped(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wrap the application in third-party middleware that the settings enable; all is off by default."""
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
        app = add_tracing(app, settings.tracing.endpoint, settings.tracing.service)
    if settings.server.trusted_proxies:
        app = ForwardedRequests(app, list(settings.server.trusted_proxies))
    return app
