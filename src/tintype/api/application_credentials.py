"""Application credentials of the built-in identity: a user manages its own, an admin deletes any."""

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from tintype.api import identity_wire as forms
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.api.parameters import NAME
from tintype.api.presence import while_present
from tintype.db.application_credentials import ApplicationCredential
from tintype.domain.identity import check_role
from tintype.errors import Forbidden, Invalid
from tintype.services.application_credentials import ApplicationCredentials
from tintype.services.tokens import Token

_FIELDS: Final = ("name", "description", "secret", "roles", "expires_at", "unrestricted")


class ApplicationCredentialsApi:
    """Handlers of application credentials."""

    def __init__(self, credentials: ApplicationCredentials, reader: forms.TokenReader) -> None:
        self._credentials = credentials
        self._reader = reader

    @describe(Answer(200, "application_credentials"), takes=(NAME,), needs="token")
    async def index(self, call: Call) -> Response:
        """List a user's application credentials: their own, or any user's for an admin."""
        await self._reader.user_or_admin(call, call.params["id"])
        name = forms.query(call).get("name")
        found = await self._credentials.list(call.params["id"])
        kept = [_view(call, each) for each in found if name in {None, each.name}]
        return forms.listing(call, "application_credentials", kept)

    @describe(Answer(200, "application_credential"), needs="token")
    async def show(self, call: Call) -> Response:
        """Show an application credential, without its secret."""
        await self._reader.user_or_admin(call, call.params["id"])
        found = await self._credentials.get(call.params["id"], call.params["credential"])
        return wire.json_response({"application_credential": _view(call, found)})

    @describe(
        Answer(201, "created_application_credential"),
        body="new_application_credential",
        errors=(409, 429),
        needs="token",
    )
    async def create(self, call: Call) -> Response:
        """Create an application credential for the caller in the token's project; show its secret once."""
        token = await self._reader.caller(call)
        _require_unrestricted(token)
        if token.caller.user_id != call.params["id"]:
            raise Forbidden("You cannot create an application credential for another user.")
        body = await _body(call)
        creation = self._credentials.create(
            token.caller,
            name=forms.text(body, "name"),
            description=forms.optional_text(body, "description"),
            secret=forms.optional_text(body, "secret") or None,
            roles=_roles(body.get("roles")),
            unrestricted=forms.optional_flag(body, "unrestricted") is True,
            expires_at=_expires_at(forms.optional_text(body, "expires_at")),
        )
        made, secret = await while_present(call, creation)
        return wire.json_response({"application_credential": {**_view(call, made), "secret": secret}}, 201)

    @describe(Answer(204), needs="token")
    async def delete(self, call: Call) -> Response:
        """Delete an application credential; its tokens are revoked."""
        _require_unrestricted(await self._reader.user_or_admin(call, call.params["id"]))
        await self._credentials.delete(call.params["id"], call.params["credential"])
        return wire.no_content()


def _require_unrestricted(token: Token) -> None:
    if token.delegation is not None and not token.delegation.unrestricted:
        raise Forbidden(
            "A token of a restricted application credential cannot manage application credentials."
        )


async def _body(call: Call) -> dict[str, Any]:
    body = await forms.read_object(call, "application_credential")
    if body.get("access_rules"):
        raise Invalid(
            "The built-in identity has no access rules: create the credential without access_rules."
        )
    forms.refuse_others(body, "application credential", _FIELDS)
    return body


def _roles(wished: Any) -> list[str]:
    """Return the names of the roles that a body lists by id or name; raises Invalid."""
    if wished is None:
        return []
    if not isinstance(wished, list) or not all(isinstance(each, dict) for each in wished):
        raise Invalid("roles must be a list of objects, each with the id or the name of a role.")
    found = []
    for each in wished:
        found.append(forms.role_of(forms.text(each, "id")) if each.get("id") else forms.text(each, "name"))
        check_role(found[-1])
    return found


def _expires_at(value: str | None) -> int | None:
    """Return a time in microseconds since the epoch; a time without a zone is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        moment = moment.astimezone(UTC)  # years from 1 to 9999, in UTC too
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond
    except (ValueError, OverflowError):
        raise Invalid(
            f"expires_at must be a time such as 2030-12-31T23:59:59Z; not: {value[:100]}."
        ) from None


def _view(call: Call, credential: ApplicationCredential) -> dict[str, Any]:
    expires_at = credential.expires_at
    return {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [forms.role_view(role) for role in credential.roles],
        "unrestricted": credential.unrestricted,
        "expires_at": None if expires_at is None else wire.bare_timestamp(expires_at),
        "system": None,
        "links": forms.self_link(call, f"users/{credential.user_id}/application_credentials/{credential.id}"),
    }
