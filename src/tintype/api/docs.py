"""The API's document, and a page to read it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.responses import RedirectResponse, Response

from tintype.api.call import Call
from tintype.api.components import image_components
from tintype.api.identity_components import IDENTITY_COMPONENTS
from tintype.api.json_schema import OBJECT, STRING
from tintype.api.metadef_components import metadef_components
from tintype.api.openapi import document
from tintype.api.operation import JSON, Answer, describe
from tintype.api.parameters import KNOWN
from tintype.api.route import Route
from tintype.api.static_files import StaticFiles, cacheable, etag_of
from tintype.domain.images import Limits

_CACHED: Final = ("ETag", "Cache-Control")
_NOT_MODIFIED: Final = Answer(304, headers=_CACHED)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of the page and its files. Redoc writes the styles of its parts into the page as it runs."""


def api_document(routes: Mapping[str, Route], limits: Limits, version: str) -> dict[str, Any]:
    """Return the description of the API that these routes are."""
    schemas = image_components(limits) | metadef_components() | IDENTITY_COMPONENTS
    return document(routes, schemas, version)


class DocsApi:
    """Handlers of `/openapi.json` and `/docs/`."""

    def __init__(self, routes: Mapping[str, Route], limits: Limits, version: str) -> None:
        """Create the handlers; the routes are read at the first request, when all are there."""
        self._routes = routes
        self._limits = limits
        self._version = version
        self._files = StaticFiles(Path(__file__).parent / "static")

    @functools.cached_property
    def _document(self) -> bytes:
        return msgspec.json.encode(api_document(self._routes, self._limits, self._version))

    @functools.cached_property
    def _etag(self) -> str:
        return etag_of(self._document)

    @describe(Answer(200, OBJECT, _CACHED), _NOT_MODIFIED, takes=(KNOWN,))
    async def document(self, call: Call) -> Response:
        """Return the description of the API in the form of OpenAPI 3.1."""
        return cacheable(call, self._document, JSON, self._etag)

    @describe(Answer(308, headers=("Location",)))
    async def home(self, _call: Call) -> Response:
        """Redirect to the page that shows the description of the API."""
        return RedirectResponse("docs/", 308)

    @describe(Answer(200, STRING, _CACHED, "text/html"), _NOT_MODIFIED, takes=(KNOWN,))
    async def index(self, call: Call) -> Response:
        """Return the page that shows the description of the API."""
        return self._files.response(call, "docs.html")

    @describe(Answer(200, STRING, _CACHED, "text/*"), _NOT_MODIFIED, takes=(KNOWN,))
    async def file(self, call: Call) -> Response:
        """Return a file of the page that shows the description of the API."""
        return self._files.response(call, call.params["name"])
