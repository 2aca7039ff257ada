"""The composition root."""

from functools import cached_property

from starlette.types import ASGIApp

from tintype.api.cache import CacheApi
from tintype.api.route import Route
from tintype.api.routes import Handlers
from tintype.services.cached_images import CachedImages
from tintype.wiring.app import create_app
from tintype.wiring.background import Background
from tintype.wiring.handlers import create_handlers, create_routes


class Service(Background):
    """The whole service for some settings."""

    @cached_property
    def handlers(self) -> Handlers:
        """The handlers of the image API."""
        return create_handlers(self)

    @cached_property
    def cache_api(self) -> CacheApi:
        """The handlers of the cache."""
        return CacheApi(CachedImages(self.database, self.access, self.cache))

    @cached_property
    def routes(self) -> dict[str, Route]:
        """All routes."""
        return create_routes(self, self.handlers, self.cache_api)

    @cached_property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        return create_app(self, self.routes)
