"""Users of the built-in identity: an admin manages all, other users can only see themselves."""

from typing import Any, Final

from starlette.responses import Response

from tintype.api import identity_wire as forms
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.api.parameters import IN_DOMAIN, NAME
from tintype.api.presence import while_present
from tintype.db.identity import User
from tintype.services.users import Users

_ABOUT: Final = {"description": 4096, "email": 255, "default_project_id": 64}
"""Optional attributes of a user and their greatest lengths. Tintype uses only the default project."""
_FIELDS: Final = ("name", "password", "enabled", "domain_id", *_ABOUT)


class UsersApi:
    """Handlers of users."""

    def __init__(self, users: Users, reader: forms.TokenReader) -> None:
        self._users = users
        self._reader = reader

    @describe(Answer(200, "users"), takes=(NAME, *IN_DOMAIN), needs="token")
    async def index(self, call: Call) -> Response:
        """List users, or look one up by its exact name."""
        token = await self._reader.caller(call)
        wanted = forms.query(call)
        if wanted.get("name") != token.caller.user_name:
            forms.require_admin(token)
        found = await self._users.list(wanted.get("name"))
        kept = [user for user in found if forms.in_domain(wanted, enabled=user.enabled)]
        return forms.listing(call, "users", [_view(call, user) for user in kept])

    @describe(Answer(200, "user"), needs="token")
    async def show(self, call: Call) -> Response:
        """Show a user: the caller, or any user for an admin."""
        await self._reader.user_or_admin(call, call.params["id"])
        return self._shown(call, await self._users.get(call.params["id"]))

    @describe(Answer(201, "user"), body="new_user", errors=(404, 409, 429), needs="token")
    async def create(self, call: Call) -> Response:
        """Create a user, who cannot log in without a password."""
        await self._reader.admin(call)
        body = await _body(call)
        creation = self._users.create(
            forms.text(body, "name"),
            forms.optional_text(body, "password"),
            enabled=forms.optional_flag(body, "enabled") is not False,
            about=_about(body),
        )
        return self._shown(call, await while_present(call, creation), 201)

    @describe(Answer(200, "user"), body="user_changes", errors=(409, 429), needs="token")
    async def update(self, call: Call) -> Response:
        """Update a user; changing the password or disabling the user revokes all their tokens."""
        await self._reader.admin(call)
        user = await self._users.get(call.params["id"])
        body = await _body(call)
        change = self._users.update(
            user.id,
            name=forms.text(body, "name") if "name" in body else None,
            password=forms.optional_text(body, "password"),
            enabled=forms.optional_flag(body, "enabled"),
            about=_about(body),
        )
        return self._shown(call, await while_present(call, change))

    @describe(Answer(204), errors=(409,), needs="token")
    async def delete(self, call: Call) -> Response:
        """Delete a user, with their roles and application credentials."""
        await self._reader.admin(call)
        await self._users.delete((await self._users.get(call.params["id"])).id)
        return wire.no_content()

    @describe(Answer(204), body="passwords", errors=(401, 403, 429))
    async def change_password(self, call: Call) -> Response:
        """Change the caller's own password; needs the original password, not a token."""
        body, token = await forms.read_object(call, "user"), call.token("X-Auth-Token")
        change = self._users.change_password(
            call.params["id"],
            forms.text(body, "original_password"),
            forms.text(body, "password"),
            address=call.address,
        )
        await while_present(call, change)
        self._reader.invalidate(token or "")
        return wire.no_content()

    @staticmethod
    def _shown(call: Call, user: User, status: int = 200) -> Response:
        return wire.json_response({"user": _view(call, user)}, status)


async def _body(call: Call) -> dict[str, Any]:
    """Return the user of a request; raises Invalid for unsupported fields."""
    body = await forms.read_object(call, "user")
    forms.refuse_others(body, "user", _FIELDS)
    forms.check_domain(body)
    return body


def _about(body: dict[str, Any]) -> dict[str, str | None]:
    return {name: forms.optional_text(body, name, limit) for name, limit in _ABOUT.items() if name in body}


def _view(call: Call, user: User) -> dict[str, Any]:
    about = {name: value for name in _ABOUT if (value := getattr(user, name)) is not None}
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": "default",
        "enabled": user.enabled,
        "password_expires_at": None,
        "options": {},
        **about,
        "links": forms.self_link(call, f"users/{user.id}"),
    }
