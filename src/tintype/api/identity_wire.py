"""Shared by the handlers of `/identity`: the caller, and Keystone's form of bodies, errors and lists."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.domain.identity import ROLES
from tintype.errors import Forbidden, Invalid, NotFound, Unauthenticated
from tintype.services.tokens import Token, Tokens

DOMAIN: Final = {"id": "default", "name": "Default"}
_LONGEST: Final = 4096


class TokenReader:
    """Reads the token of a request, and raises if its user may not send the request."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def caller(self, call: Call) -> Token:
        """Return the caller's token; raises Unauthenticated."""
        value = call.token("X-Auth-Token")
        if not value:
            raise Unauthenticated("The request you have made requires authentication.")
        token = await self._tokens.token(value)
        call.caller = token.caller  # for the log
        return token

    async def admin(self, call: Call) -> Token:
        """Return the caller's token; raises Forbidden unless the caller is an admin."""
        token = await self.caller(call)
        require_admin(token)
        return token

    async def user_or_admin(self, call: Call, user_id: str) -> Token:
        """Return the caller's token; raises Forbidden unless the caller is this user or an admin."""
        token = await self.caller(call)
        if token.caller.user_id != user_id:
            require_admin(token)
        return token

    def invalidate(self, value: str) -> None:
        """Remove a token from the cache of validated tokens."""
        self._tokens.invalidate(value)


def require_admin(token: Token) -> None:
    """Raise Forbidden unless the token has the role admin.

    `context_is_admin` of the policy file concerns images only; it grants no rights to users and projects.
    """
    if "admin" not in token.caller.roles:
        raise Forbidden("You are not authorized to perform the requested action: it is for admins.")


async def read_object(call: Call, *path: str) -> dict[str, Any]:
    """Return the object at a path of the request's body; raises Invalid."""
    return object_at(wire.parse_json(await call.bounded_body()), *path)


def object_at(body: Any, *path: str) -> dict[str, Any]:
    """Return an object within a body; raises Invalid if it is absent or no object."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    if not isinstance(body, dict):
        raise Invalid(f"Expecting to find {'.'.join(path)} in the request: a JSON object.")
    return body


def text(body: dict[str, Any], name: str) -> str:
    """Return a required string; raises Invalid."""
    value = optional_text(body, name)
    if not value:
        raise Invalid(f"Expecting to find {name} in the request: a string that is not empty, without NUL.")
    return value


def optional_text(body: dict[str, Any], name: str, limit: int = _LONGEST) -> str | None:
    """Return an optional string, None if it is null or absent; raises Invalid for any other type."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or len(value) > limit:
        raise Invalid(f"{name} must be a string of at most {limit} characters, without NUL.")
    return value


def optional_flag(body: dict[str, Any], name: str) -> bool | None:
    """Return an optional boolean, None if it is null or absent; raises Invalid for any other type."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f"{name} must be true or false.")
    return value


def check_domain(body: dict[str, Any]) -> None:
    """Raise NotFound if `domain_id` names a domain other than the only one."""
    domain = optional_text(body, "domain_id")
    if domain not in {None, "", DOMAIN["id"]}:
        raise NotFound(f"Could not find domain: {domain}. The only domain is Default (id default).")


def refuse_others(body: dict[str, Any], noun: str, known: Iterable[str]) -> None:
    """Raise Invalid for an unsupported field, unless its value is empty."""
    kept = frozenset(known)
    for name, value in body.items():
        if name not in kept and not _is_empty(value):
            stored = ", ".join(sorted(kept))
            raise Invalid(f"The built-in identity stores no {name} of a {noun}. It stores: {stored}.")


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value is False or value in ("", [])


def query(call: Call) -> dict[str, str]:
    """Return the parameters of the query string, the last value of each; raises Invalid."""
    try:
        pairs = parse_qs(call.scope["query_string"].decode(), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise Invalid("The query string is not valid UTF-8.") from None
    return {name: values[-1].replace("\0", "\ufffd") for name, values in pairs.items()}


def is_set(wanted: dict[str, str], name: str) -> bool:
    """Return whether a boolean parameter is on; without a value it is."""
    return wanted.get(name, "false").lower() not in {"0", "false", "no", "off"}


def in_domain(wanted: dict[str, str], *, enabled: bool) -> bool:
    """Return whether an object of the only domain matches the filters `domain_id` and `enabled`."""
    if wanted.get("domain_id", DOMAIN["id"]) != DOMAIN["id"]:
        return False
    return "enabled" not in wanted or is_set(wanted, "enabled") is enabled


def listing(call: Call, name: str, items: list[dict[str, Any]]) -> Response:
    """Return a list in Keystone's form."""
    return wire.json_response({name: items, "links": links(call)})


def links(call: Call) -> dict[str, Any]:
    """Return the links of a list with a single page."""
    return {"self": f"{call.base_url_text}{call.scope['path']}", "next": None, "previous": None}


def self_link(call: Call, path: str) -> dict[str, str]:
    """Return the links of one object."""
    return {"self": f"{call.base_url_text}/identity/v3/{path}"}


def role_view(role: str, *, short: bool = False) -> dict[str, Any]:
    """Return a role in Keystone's form."""
    view: dict[str, Any] = {"id": f"role-{role}", "name": role}
    return view if short else {**view, "domain_id": None, "description": None, "options": {}}


def role_of(role_id: str) -> str:
    """Return the role with an id; raises NotFound."""
    role = role_id.removeprefix("role-")
    if role not in ROLES or role == role_id:
        raise NotFound(f"Could not find role: {role_id}.")
    return role


def timestamp(microseconds: int) -> str:
    """Return a time in Keystone's form."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
