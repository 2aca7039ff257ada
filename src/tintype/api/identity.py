"""The slice of Keystone v3 that clients need to log in and find the image service.

Bodies and errors have Keystone's shapes. Lists are for admins; an exact name or id may be looked
up by every user of a project, because sharing an image begins with naming a project.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.responses import Response

from tintype.api import errors as error_responses
from tintype.api import wire
from tintype.auth.builtin import BuiltinAuthenticator
from tintype.db.identity import Project, User
from tintype.errors import Forbidden, Invalid, NotFound, TintypeError, Unauthenticated
from tintype.services.identity import ROLES, Identity, Token

if TYPE_CHECKING:
    from tintype.api.app import Call

_DOMAIN: Final = {"id": "default", "name": "Default"}
_DOMAIN_VIEW: Final = {**_DOMAIN, "description": "The one domain", "enabled": True, "options": {}, "tags": []}
_VERSION_DATE: Final = "2026-01-01T00:00:00Z"

Handler = Callable[["IdentityApi", "Call"], Awaitable[Response]]


def _keystone_errors(handler: Handler) -> Handler:
    """Write failures as Keystone does: one object named `error`."""

    @wraps(handler)
    async def wrapped(self: "IdentityApi", call: "Call") -> Response:
        try:
            return await handler(self, call)
        except TintypeError as error:
            call.failure = error
            status = error_responses.status_of(error)
            headers = dict(error.headers)
            if status == 401:
                headers["WWW-Authenticate"] = f'Keystone uri="{call.base_url_text}/identity"'
            body = {"code": status, "title": HTTPStatus(status).phrase, "message": error.message}
            return wire.json_response({"error": body}, status, headers)

    return wrapped


class IdentityApi:
    """Handlers of `/identity`."""

    def __init__(self, identity: Identity, tokens: BuiltinAuthenticator, *, region: str) -> None:
        self._identity = identity
        self._tokens = tokens
        self._region = region

    async def choices(self, call: "Call") -> Response:
        """Offer the versions."""
        return wire.json_response({"versions": {"values": [_version(call)]}}, 300)

    async def version(self, call: "Call") -> Response:
        """Describe the version."""
        return wire.json_response({"version": _version(call)})

    @_keystone_errors
    async def login(self, call: "Call") -> Response:
        """Give a token for a password or another token."""
        body = wire.parse_json(await call.bounded_body())
        identity = _object(body, "auth", "identity")
        scope = _scope(_object(body, "auth").get("scope"))
        methods = identity.get("methods")
        if methods == ["password"]:
            user = _object(identity, "password", "user")
            _check_domain(user, "domain", needed="id" not in user)
            address = call.client.host if call.client else ""
            token = await self._identity.login(
                user_id=_text(user, "id", optional=True),
                user_name=_text(user, "name", optional="id" in user),
                password=_text(user, "password") or "",
                project=scope,
                address=address,
            )
        elif methods == ["token"]:
            token = await self._identity.exchange(_text(_object(identity, "token"), "id") or "", scope)
        else:
            raise Unauthenticated("The methods offered here are: password, token; one at a time.")
        return wire.json_response(
            self._view(call, token), 201, {"X-Subject-Token": token.value, "Vary": "X-Auth-Token"}
        )

    @_keystone_errors
    async def show_token(self, call: "Call") -> Response:
        """Show what a token stands for."""
        token = await self._subject(call, also=frozenset({"admin", "service"}))
        return wire.json_response(self._view(call, token), 200, {"X-Subject-Token": token.value})

    @_keystone_errors
    async def revoke(self, call: "Call") -> Response:
        """Make a token void."""
        token = await self._subject(call, also=frozenset({"admin"}))
        await self._identity.revoke(token)
        self._tokens.forget(token.value)
        return wire.no_content()

    @_keystone_errors
    async def catalog(self, call: "Call") -> Response:
        """Show the services."""
        await self._caller(call)
        return wire.json_response({"catalog": self._catalog(call), "links": _links(call)})

    @_keystone_errors
    async def my_projects(self, call: "Call") -> Response:
        """List the projects that the caller may work in."""
        token = await self._caller(call)
        projects = await self._identity.projects_of(token.caller.user_id)
        return _listing(call, "projects", [_project_view(call, project) for project in projects])

    @_keystone_errors
    async def domains(self, call: "Call") -> Response:
        """List the one domain."""
        await self._caller(call)
        wanted = _query(call).get("name")
        found = [_DOMAIN_VIEW] if wanted is None or wanted.lower() == "default" else []
        return _listing(call, "domains", found)

    @_keystone_errors
    async def domain(self, call: "Call") -> Response:
        """Show the one domain."""
        await self._caller(call)
        if call.params["id"] != _DOMAIN["id"]:
            raise NotFound(f"Could not find domain: {call.params['id']}.")
        return wire.json_response({"domain": _DOMAIN_VIEW})

    @_keystone_errors
    async def projects(self, call: "Call") -> Response:
        """List projects, or look one up by its exact name."""
        token = await self._caller(call)
        wanted = _query(call)
        name = wanted.get("name")
        if name is None:
            _require_admin(token)
            found = await self._identity.projects()
        else:
            found = await self._named(self._identity.project, name)
        found = [project for project in found if _fits(wanted)]
        return _listing(call, "projects", [_project_view(call, project) for project in found])

    @_keystone_errors
    async def project(self, call: "Call") -> Response:
        """Show a project."""
        await self._caller(call)
        project = await self._identity.project(call.params["id"])
        if project.id != call.params["id"]:
            raise NotFound(f"Could not find project: {call.params['id']}.")
        return wire.json_response({"project": _project_view(call, project)})

    @_keystone_errors
    async def users(self, call: "Call") -> Response:
        """List users, or look one up by its exact name."""
        token = await self._caller(call)
        wanted = _query(call)
        name = wanted.get("name")
        if name is None or name != token.caller.user_name:
            _require_admin(token)
        found = await self._identity.users() if name is None else await self._named(self._identity.user, name)
        found = [user for user in found if _fits(wanted)]
        return _listing(call, "users", [_user_view(call, user) for user in found])

    @_keystone_errors
    async def user(self, call: "Call") -> Response:
        """Show a user: oneself, or any to an admin."""
        token = await self._caller(call)
        if call.params["id"] != token.caller.user_id:
            _require_admin(token)
        user = await self._identity.user(call.params["id"])
        if user.id != call.params["id"]:
            raise NotFound(f"Could not find user: {call.params['id']}.")
        return wire.json_response({"user": _user_view(call, user)})

    @_keystone_errors
    async def user_projects(self, call: "Call") -> Response:
        """List the projects that a user may work in."""
        token = await self._caller(call)
        if call.params["id"] != token.caller.user_id:
            _require_admin(token)
        projects = await self._identity.projects_of(call.params["id"])
        return _listing(call, "projects", [_project_view(call, project) for project in projects])

    @_keystone_errors
    async def roles(self, call: "Call") -> Response:
        """List the roles."""
        await self._caller(call)
        wanted = _query(call).get("name")
        return _listing(call, "roles", [_role_view(role) for role in ROLES if wanted in {None, role}])

    async def _caller(self, call: "Call") -> Token:
        value = call.headers.get("x-auth-token")
        if not value:
            raise Unauthenticated("The request you have made requires authentication.")
        return await self._tokens.token(value)

    async def _subject(self, call: "Call", *, also: frozenset[str]) -> Token:
        """Give the token that a request is about: the caller's own, or any to somebody in certain roles."""
        caller = await self._caller(call)
        value = call.headers.get("x-subject-token")
        if not value:
            raise Invalid("The header X-Subject-Token is missing.")
        try:
            subject = await self._identity.validate(value)
        except Unauthenticated as error:
            raise NotFound(error.message) from None
        if subject.caller.user_id != caller.caller.user_id and not caller.caller.roles & also:
            raise Forbidden("You are not authorized to see other users' tokens.")
        return subject

    @staticmethod
    async def _named(find: Callable[[str], Awaitable[Any]], name: str) -> list[Any]:
        try:
            found = await find(name)
        except NotFound:
            return []
        return [found] if found.name == name else []

    def _view(self, call: "Call", token: Token) -> dict[str, Any]:
        caller = token.caller
        view: dict[str, Any] = {
            "methods": list(token.methods),
            "user": {
                "id": caller.user_id,
                "name": caller.user_name,
                "domain": _DOMAIN,
                "password_expires_at": None,
            },
            "audit_ids": [token.id],
            "expires_at": _time(token.expires_at),
            "issued_at": _time(token.issued_at),
        }
        if token.project is not None:
            view["project"] = {"id": token.project.id, "name": token.project.name, "domain": _DOMAIN}
            view["is_domain"] = False
            view["roles"] = [_role_view(role, short=True) for role in sorted(caller.roles)]
            if "nocatalog" not in _query(call):
                view["catalog"] = self._catalog(call)
        return {"token": view}

    def _catalog(self, call: "Call") -> list[dict[str, Any]]:
        services = {
            "image": ("tintype", call.base_url_text),
            "identity": ("identity", f"{call.base_url_text}/identity/v3"),
        }
        return [
            {
                "id": f"service-{kind}",
                "type": kind,
                "name": name,
                "endpoints": [
                    {
                        "id": f"{kind}-{interface}",
                        "interface": interface,
                        "region": self._region,
                        "region_id": self._region,
                        "url": url,
                    }
                    for interface in ("public", "internal", "admin")
                ],
            }
            for kind, (name, url) in services.items()
        ]


def _version(call: "Call") -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": _VERSION_DATE,
        "links": [{"rel": "self", "href": f"{call.base_url_text}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _object(body: Any, *path: str) -> dict[str, Any]:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    if not isinstance(body, dict):
        raise Invalid(f"Expecting to find {'.'.join(path)} in the request: a JSON object.")
    return body


def _text(body: dict[str, Any], name: str, *, optional: bool = False) -> str | None:
    value = body.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
        raise Invalid(f"Expecting to find {name} in the request: a string that is not empty, without NUL.")
    return value


def _scope(scope: Any) -> dict[str, str] | None:
    if scope is None or scope == "unscoped" or (isinstance(scope, dict) and "unscoped" in scope):
        return None
    if isinstance(scope, dict) and scope.keys() != {"project"}:
        raise Unauthenticated("Tokens here are scoped to projects only.")
    project = _object({"scope": scope}, "scope", "project")
    if "id" in project:
        return {"id": _text(project, "id") or ""}
    _check_domain(project, "domain", needed=True)
    return {"name": _text(project, "name") or ""}


def _check_domain(body: dict[str, Any], name: str, *, needed: bool) -> None:
    """Check that the one domain is meant, by id or name."""
    if name not in body and not needed:
        return
    domain = _object(body, name)
    if domain.get("id") != _DOMAIN["id"] and str(domain.get("name", "")).lower() != "default":
        raise Unauthenticated("The only domain here is Default (id default).")


def _query(call: "Call") -> dict[str, str]:
    try:
        pairs = parse_qs(call.scope["query_string"].decode(), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise Invalid("The query string is not valid UTF-8.") from None
    return {name: values[-1] for name, values in pairs.items()}


def _fits(wanted: dict[str, str]) -> bool:
    """Say whether a filter keeps what is in the one domain and enabled."""
    return (
        wanted.get("domain_id", "default") == "default" and wanted.get("enabled", "true").lower() != "false"
    )


def _require_admin(token: Token) -> None:
    if not token.caller.is_admin:
        raise Forbidden("You are not authorized to perform the requested action: it is for admins.")


def _listing(call: "Call", name: str, items: list[dict[str, Any]]) -> Response:
    return wire.json_response({name: items, "links": _links(call)})


def _links(call: "Call") -> dict[str, Any]:
    return {"self": f"{call.base_url_text}{call.scope['path']}", "next": None, "previous": None}


def _project_view(call: "Call", project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "domain_id": "default",
        "parent_id": "default",
        "enabled": project.enabled,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{call.base_url_text}/identity/v3/projects/{project.id}"},
    }


def _user_view(call: "Call", user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": "default",
        "enabled": user.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{call.base_url_text}/identity/v3/users/{user.id}"},
    }


def _role_view(role: str, *, short: bool = False) -> dict[str, Any]:
    view: dict[str, Any] = {"id": f"role-{role}", "name": role}
    return view if short else {**view, "domain_id": None, "description": None, "options": {}}


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
