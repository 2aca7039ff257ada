"""Checks every browser request: session, AJAX header, CSRF token. Errors are a JSON string.

A session is a token of the identity service in a cookie that scripts cannot read. The server keeps no
session state, so every process accepts every session. The CSRF token is derived from the token, and expires
with it. The order of the checks and their messages are Horizon's
(`openstack_dashboard.api.rest.utils.ajax`).
"""

import functools
import hmac
from typing import Any, Final

from starlette.responses import Response

from tintype.api import errors as error_responses
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.route import Endpoint
from tintype.api.throttle import Throttle
from tintype.auth.base import Authenticator
from tintype.errors import Forbidden, Invalid, TintypeError, Unauthenticated

SESSION: Final = "tintype_session"
CSRF: Final = "csrftoken"
NOBODY: Final = "not logged in"
_COOKIE_BYTES: Final = 8 << 10
_READS: Final = frozenset({"GET", "HEAD"})
_PREFIX: Final = "Malformed JSON in request body: "
_PURPOSE: Final = b"tintype: a page of ours sends this"


class Guard:
    """Passes requests of logged-in users to handlers, and turns errors into JSON strings."""

    def __init__(self, authenticator: Authenticator, throttle: Throttle | None) -> None:
        self._authenticator = authenticator
        self._throttle = throttle

    def script(self, endpoint: Endpoint) -> Endpoint:
        """Guard an endpoint that the page's scripts call."""
        return self._guarded(endpoint, by_script=True)

    def link(self, endpoint: Endpoint) -> Endpoint:
        """Guard an endpoint that the browser itself requests: files, event streams. For reading only."""
        return self._guarded(endpoint, by_script=False)

    @staticmethod
    def open(endpoint: Endpoint) -> Endpoint:
        """Guard an endpoint that scripts call without a session, to log in."""

        @functools.wraps(endpoint)
        async def opened(call: Call) -> Response:
            try:
                _check_cookies(call)
                check_script(call)
                return await endpoint(call)
            except TintypeError as error:
                call.failure = error
                return refusal(error)

        return opened

    def _guarded(self, endpoint: Endpoint, *, by_script: bool) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(call: Call) -> Response:
            try:
                await self._admit(call, by_script=by_script)
                return await endpoint(call)
            except TintypeError as error:
                call.failure = error
                return refusal(error)

        return guarded

    async def _admit(self, call: Call, *, by_script: bool) -> None:
        _check_cookies(call)
        token = call.cookies.get(SESSION, "")
        if not token:
            raise Unauthenticated(NOBODY)
        try:
            call.admit(await self._authenticator.authenticate(token, address=call.address))
        except Unauthenticated:
            raise Unauthenticated(NOBODY) from None
        if by_script:
            check_script(call)
        if call.method not in _READS:
            check_csrf(call, token)
        if self._throttle is not None:
            self._throttle.acquire(call.caller.project_id or call.caller.user_id)


def _check_cookies(call: Call) -> None:
    """Limit the size of cookies: parsing them blocks the event loop."""
    if len(call.headers.get("cookie", "")) > _COOKIE_BYTES:
        raise Invalid(f"The Cookie header may have at most {_COOKIE_BYTES} bytes.")


def check_script(call: Call) -> None:
    """Require the AJAX header, which another site's forms and links cannot set."""
    if call.headers.get("x-requested-with") != "XMLHttpRequest":
        raise Invalid("request must be AJAX")


def check_csrf(call: Call, token: str) -> None:
    """Raise Forbidden unless the request has the session's CSRF token."""
    given = call.headers.get("x-csrftoken", "")
    if not hmac.compare_digest(given.encode(), csrf_token(token).encode()):
        raise Forbidden("CSRF token missing or incorrect.")


def csrf_token(token: str) -> str:
    """Return the CSRF token of a session; the session's token cannot be derived from it."""
    return hmac.digest(token.encode(), _PURPOSE, "sha256").hex()


def refusal(error: TintypeError) -> Response:
    """Return an error response for the page: the status, and a JSON string."""
    return wire.json_response(
        error.message, error_responses.status_of(error), error_responses.headers_of(error)
    )


async def document(call: Call) -> dict[str, Any]:
    """Parse the JSON object in a request's body; raises Invalid with Horizon's messages."""
    body = await call.bounded_body()
    if not body:
        raise Invalid("request requires JSON body")
    try:
        value = wire.parse_json(body)
    except Invalid as error:
        raise Invalid(f"malformed JSON request: {error.message.removeprefix(_PREFIX)}") from None
    if not value:
        raise Invalid("request requires JSON body")
    if not isinstance(value, dict):
        raise Invalid("malformed JSON request: an object is expected")
    return value


def items(found: Any, **more: Any) -> Response:
    """Return a list response."""
    return wire.json_response({"items": found, **more})
