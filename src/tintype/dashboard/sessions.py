"""Logging in and out, and changing the project."""

import time
from typing import Any, Final

import msgspec
from starlette.responses import Response

from tintype.api import wire
from tintype.api.base_url import base_path
from tintype.api.call import Call
from tintype.api.presence import while_present
from tintype.auth.base import Authenticator, Login, Logins
from tintype.dashboard.guard import CSRF, NOBODY, SESSION, check_csrf, csrf_token, document, refusal
from tintype.errors import Forbidden, Invalid, TooManyAttempts, Unauthenticated, Unavailable
from tintype.services.rights import Rights

_LONGEST: Final = 1024
_COOKIE_BYTES: Final = 4000


class Service(msgspec.Struct, frozen=True):
    """Facts about the service that the page needs."""

    import_methods: tuple[str, ...]
    disk_formats: tuple[str, ...]
    container_formats: tuple[str, ...]
    size_limit: int
    cache: bool


class Sessions:
    """Handlers of `/api/session/`."""

    def __init__(
        self, logins: Logins, authenticator: Authenticator, rights: Rights, service: Service
    ) -> None:
        self._logins = logins
        self._authenticator = authenticator
        self._rights = rights
        self._service = service

    async def show(self, call: Call) -> Response:
        """Show who is logged in, if anybody."""
        token = call.cookies.get(SESSION)
        if token:
            try:
                return wire.json_response(await self._view(call, token))
            except Unauthenticated:
                pass
        return wire.json_response({"user": None, "identity": self._logins.kind})

    async def create(self, call: Call) -> Response:
        """Log in; always creates a new token, whatever session the browser has."""
        body = await document(call)
        names = {name: _text(body, name) for name in ("username", "password")}
        domain = _text(body, "domain", "Default")
        wished = _text(body, "project", "")
        log_in = self._logins.log_in(
            name=names["username"], password=names["password"], domain=domain, address=call.address
        )
        login = await while_present(call, log_in)
        places = await self._logins.projects(login.token)
        for place in sorted(places, key=lambda place: wished not in {place.id, place.name}):
            try:
                login = await self._logins.rescope(login.token, place.id)
                break
            except Unauthenticated:
                continue  # the project or its domain was disabled meanwhile
        return await self._logged_in(call, login)

    async def update(self, call: Call) -> Response:
        """Change to another project."""
        token = call.cookies.get(SESSION, "")
        if not token:
            raise Unauthenticated(NOBODY)
        check_csrf(call, token)
        project = _text(await document(call), "project")
        await self._authenticator.authenticate(token, address=call.address)
        try:
            login = await self._logins.rescope(token, project)
        except Unauthenticated as error:
            raise Forbidden(error.message) from None
        return await self._logged_in(call, login)

    async def delete(self, call: Call) -> Response:
        """Log out: revoke the token."""
        token = call.cookies.get(SESSION, "")
        answer = wire.no_content()
        if token:
            check_csrf(call, token)
            try:
                await self._authenticator.authenticate(token, address=call.address)
                await self._logins.log_out(token)
            except Unauthenticated:
                pass  # it is invalid already
            except (
                TooManyAttempts,
                Unavailable,
            ) as error:  # it stays valid until it expires
                call.failure = error
                answer = refusal(error)
        for name in (SESSION, CSRF):
            answer.delete_cookie(name, path=_cookie_path(call))
        return answer

    async def _logged_in(self, call: Call, login: Login) -> Response:
        if len(login.token) > _COOKIE_BYTES:
            raise Invalid("The identity service gives tokens that are too long for a cookie.")
        answer = wire.json_response(await self._view(call, login.token))
        options: dict[str, Any] = {
            "max_age": max(0, int(login.expires_at - time.time())),
            "secure": call.base_url_text.startswith("https:"),
            "samesite": "strict",
            "path": _cookie_path(call),
        }
        answer.set_cookie(SESSION, login.token, httponly=True, **options)
        answer.set_cookie(CSRF, csrf_token(login.token), **options)
        return answer

    async def _view(self, call: Call, token: str) -> dict[str, Any]:
        call.admit(await self._authenticator.authenticate(token, address=call.address))
        caller = call.caller
        places = await self._logins.projects(token)
        here = [place for place in places if place.id == caller.project_id]
        return {
            "user": {"id": caller.user_id, "name": caller.user_name},
            "project": here[0] if here else None,
            "projects": places,
            "roles": sorted(caller.roles),
            "is_admin": caller.is_admin,
            "rights": self._rights.in_project(caller),
            "csrf_token": csrf_token(token),
            "identity": self._logins.kind,
            "service": self._service,
        }


def _cookie_path(call: Call) -> str:
    """Return the cookie's path: that of the service, with the prefix of a proxy."""
    return base_path(call.base_url_text) or "/"


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise Invalid(f"'{name}' must be a string that is not empty")
    if len(value) > _LONGEST or "\0" in value:
        raise Invalid(f"'{name}' has at most {_LONGEST} characters, and no NUL")
    return value
