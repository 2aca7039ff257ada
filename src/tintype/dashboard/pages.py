"""The page itself: a few static files, read once, with headers that block foreign scripts."""

import functools
from pathlib import Path
from typing import Final

from starlette.responses import RedirectResponse, Response

from tintype.api.base_url import base_path
from tintype.api.call import Call
from tintype.api.route import Endpoint
from tintype.api.static_files import StaticFiles

_HOME: Final = "dashboard/"
_STATIC: Final = Path(__file__).parent / "static"
_INDEX: Final = "index.html"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
"""Headers of every file of the page."""
ANSWER_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response to the page's requests."""


class Pages:
    """Handlers of `/dashboard/`."""

    def __init__(self) -> None:
        self._files = StaticFiles(_STATIC)

    async def index(self, call: Call) -> Response:
        """Return the page."""
        return self._files.response(call, _INDEX)

    async def file(self, call: Call) -> Response:
        """Return one of its files."""
        return self._files.response(call, call.params["name"])

    async def home(self, call: Call) -> Response:
        """Redirect to the page."""
        return RedirectResponse(_home(call), 308)

    @staticmethod
    def front(choices: Endpoint) -> Endpoint:
        """Redirect browsers to the page; answer other clients with the list of versions."""

        @functools.wraps(choices)
        async def front(call: Call) -> Response:
            if "text/html" in call.headers.get("accept", ""):
                return RedirectResponse(_home(call), 303, {"Vary": "Accept"})
            return await choices(call)

        return front


def _home(call: Call) -> str:
    """Return the URL of the page: below the known prefix, else relative to the request.

    A front server may serve the page below a path that it does not forward.
    """
    prefix = base_path(call.base_url_text)
    return f"{prefix}/{_HOME}" if prefix else _HOME
