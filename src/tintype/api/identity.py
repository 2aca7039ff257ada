"""The part of Keystone v3 that clients need to log in and find the image service: tokens and the catalogue.

Bodies and errors have Keystone's form. Projects, users, roles and application credentials are in modules
of their own.
"""

from typing import Any, Final

from starlette.responses import Response

from tintype.api import identity_wire as forms
from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.api.parameters import NAME, NO_CATALOG, SUBJECT
from tintype.api.presence import while_present
from tintype.errors import Forbidden, Invalid, NotFound, Unauthenticated
from tintype.services.identity import Identity
from tintype.services.tokens import Token

_DOMAIN_VIEW: Final = {
    **forms.DOMAIN,
    "description": "The one domain",
    "enabled": True,
    "options": {},
    "tags": [],
}
_VERSION_DATE: Final = "2026-01-01T00:00:00Z"


class IdentityApi:
    """Handlers of tokens, the catalogue and the only domain."""

    def __init__(self, identity: Identity, reader: forms.TokenReader, *, region: str) -> None:
        self._identity = identity
        self._reader = reader
        self._region = region

    @describe(Answer(300, "identity_versions"))
    async def choices(self, call: Call) -> Response:
        """List the versions."""
        return wire.json_response({"versions": {"values": [_version(call)]}}, 300)

    @describe(Answer(200, "identity_version"))
    async def version(self, call: Call) -> Response:
        """Describe the version."""
        return wire.json_response({"version": _version(call)})

    @describe(
        Answer(201, "token", ("X-Subject-Token", "Vary")),
        body="login",
        errors=(401, 403, 404, 429),
        takes=(NO_CATALOG,),
    )
    async def login(self, call: Call) -> Response:
        """Return a token for a password, an application credential or another token."""
        auth = await forms.read_object(call, "auth")
        identity = forms.object_at({"auth": auth}, "auth", "identity")
        match identity.get("methods"):
            case ["password"]:
                user = forms.object_at(identity, "password", "user")
                token = await while_present(call, self._with_password(call, auth, user))
            case ["application_credential"]:
                credential = forms.object_at(identity, "application_credential")
                token = await while_present(call, self._with_credential(call, auth, credential))
            case ["token"]:
                value = forms.text(forms.object_at(identity, "token"), "id")
                token = await self._identity.tokens.rescope(value, _scope(auth.get("scope")))
            case _:
                raise Unauthenticated(
                    "Supported methods: password, application_credential, token. Use exactly one."
                )
        return wire.json_response(
            self._view(call, token), 201, {"X-Subject-Token": token.value, "Vary": "X-Auth-Token"}
        )

    async def _with_password(self, call: Call, auth: dict[str, Any], user: dict[str, Any]) -> Token:
        scope = _scope(auth.get("scope"))
        user_id, user_name = _user_of(user)
        return await self._identity.login(
            user_id=user_id,
            user_name=user_name,
            password=forms.text(user, "password"),
            project=scope,
            address=call.address,
            to_default="scope" not in auth,
        )

    async def _with_credential(self, call: Call, auth: dict[str, Any], credential: dict[str, Any]) -> Token:
        if "scope" in auth:
            raise Unauthenticated(
                "Application credentials cannot request a scope: each one belongs to one project."
            )
        credential_id, name = forms.optional_text(credential, "id"), None
        user_id = user_name = None
        if credential_id is None:
            name = forms.text(credential, "name")
            user_id, user_name = _user_of(forms.object_at(credential, "user"))
        return await self._identity.login_with_credential(
            forms.text(credential, "secret"),
            credential_id=credential_id,
            name=name,
            user_id=user_id,
            user_name=user_name,
            address=call.address,
        )

    @describe(
        Answer(200, "token", ("X-Subject-Token",)), takes=(SUBJECT, NO_CATALOG), errors=(404,), needs="token"
    )
    async def show_token(self, call: Call) -> Response:
        """Show the user, project and roles of a token."""
        token = await self._subject(call, also=frozenset({"admin", "service"}))
        return wire.json_response(self._view(call, token), 200, {"X-Subject-Token": token.value})

    @describe(Answer(204), takes=(SUBJECT,), errors=(404,), needs="token")
    async def revoke(self, call: Call) -> Response:
        """Revoke a token."""
        token = await self._subject(call, also=frozenset({"admin"}))
        await self._identity.tokens.revoke(token)
        return wire.no_content()

    @describe(Answer(200, "catalog"), needs="token")
    async def catalog(self, call: Call) -> Response:
        """Show the service catalogue."""
        await self._reader.caller(call)
        return wire.json_response({"catalog": self._catalog(call), "links": forms.links(call)})

    @describe(Answer(200, "domains"), takes=(NAME,), needs="token")
    async def domains(self, call: Call) -> Response:
        """List the only domain."""
        await self._reader.caller(call)
        wanted = forms.query(call).get("name")
        found = [_DOMAIN_VIEW] if wanted is None or wanted.lower() == "default" else []
        return forms.listing(call, "domains", found)

    @describe(Answer(200, "domain"), needs="token")
    async def domain(self, call: Call) -> Response:
        """Show the only domain."""
        await self._reader.caller(call)
        if call.params["id"] != forms.DOMAIN["id"]:
            raise NotFound(f"Could not find domain: {call.params['id']}.")
        return wire.json_response({"domain": _DOMAIN_VIEW})

    async def _subject(self, call: Call, *, also: frozenset[str]) -> Token:
        """Return a request's subject token: the caller's own, or any if the caller has one of the roles."""
        caller = await self._reader.caller(call)
        value = call.token("X-Subject-Token")
        if not value:
            raise Invalid("The header X-Subject-Token is missing.")
        try:
            subject = await self._identity.tokens.validate(value)
        except Unauthenticated as error:
            raise NotFound(error.message) from None
        if subject.caller.user_id != caller.caller.user_id and not caller.caller.roles & also:
            raise Forbidden("You are not authorized to see other users' tokens.")
        return subject

    def _view(self, call: Call, token: Token) -> dict[str, Any]:
        caller = token.caller
        view: dict[str, Any] = {
            "methods": list(token.methods),
            "user": {
                "id": caller.user_id,
                "name": caller.user_name,
                "domain": forms.DOMAIN,
                "password_expires_at": None,
            },
            "audit_ids": [token.id],
            "expires_at": forms.timestamp(token.expires_at),
            "issued_at": forms.timestamp(token.issued_at),
        }
        if token.delegation is not None:
            view["application_credential"] = {
                "id": token.delegation.id,
                "name": token.delegation.name,
                "restricted": not token.delegation.unrestricted,
            }
        if token.project is not None:
            view["project"] = {"id": token.project.id, "name": token.project.name, "domain": forms.DOMAIN}
            view["is_domain"] = False
            view["roles"] = [forms.role_view(role, short=True) for role in sorted(caller.roles)]
            if "nocatalog" not in forms.query(call):
                view["catalog"] = self._catalog(call)
        return {"token": view}

    def _catalog(self, call: Call) -> list[dict[str, Any]]:
        services = {
            "image": ("glance", call.base_url_text),  # the name that libcloud looks for
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


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": _VERSION_DATE,
        "links": [{"rel": "self", "href": f"{call.base_url_text}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _user_of(user: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the user's id and name from a login; with an id no domain is needed."""
    if "id" in user:
        if "domain" in user:
            _check_domain(user)
        return forms.text(user, "id"), forms.optional_text(user, "name")
    _check_domain(user)
    return None, forms.text(user, "name")


def _scope(scope: Any) -> dict[str, str] | None:
    if scope is None or scope == "unscoped" or (isinstance(scope, dict) and "unscoped" in scope):
        return None
    if isinstance(scope, dict) and scope.keys() != {"project"}:
        raise Unauthenticated("Only tokens that are scoped to a project are supported.")
    project = forms.object_at({"scope": scope}, "scope", "project")
    if "id" in project:
        return {"id": forms.text(project, "id")}
    _check_domain(project)
    return {"name": forms.text(project, "name")}


def _check_domain(body: dict[str, Any]) -> None:
    """Check that a domain, given by id or name, is the only one."""
    domain = forms.object_at(body, "domain")
    if domain.get("id") != forms.DOMAIN["id"] and str(domain.get("name", "")).lower() != "default":
        raise Unauthenticated("The only domain is Default (id default).")
