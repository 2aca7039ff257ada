"""Authentication and endpoint discovery: a token, a keystoneauth session, or a login at a Keystone.

An identity does not send anything itself. Each step gets the previous response, and returns the next request
or the resulting access; so asynchronous and blocking clients share it.
"""

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from tintype.client import errors
from tintype.client.requests import Reply, Request

_EARLY_SECONDS: Final = 60.0
"""A token is renewed this long before it expires, or a quarter of its lifetime if that is less."""
_SESSION_SECONDS: Final = 5.0
"""How often a keystoneauth session is asked for its token, which it renews itself."""
_VERSION: Final = re.compile(r"/v\d+(\.\d+)?/?$")


@dataclasses.dataclass(frozen=True)
class Access:
    """Headers and endpoint for requests; valid until `renew_at`, in seconds since the epoch."""

    endpoint: str
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    renew_at: float | None = None
    project_id: str | None = None
    identity_url: str | None = None
    """The root of the identity service, without /v3; None if it is not known."""

    @property
    def stale(self) -> bool:
        """Return whether it has expired, or is about to."""
        return self.renew_at is not None and time.time() > self.renew_at


class Identity(Protocol):
    """A way to authenticate."""

    def step(self, reply: Reply | None, /) -> "Request[Reply] | Access":
        """Return the next request of the login, or the access at its end; `reply` is None in the first step.

        May block: a keystoneauth session sends requests itself.
        """
        ...

    def invalidate(self) -> bool:
        """Invalidate the access that was refused; return False if no other can be obtained."""
        ...


class StaticAccess:
    """A fixed endpoint with an optional token."""

    def __init__(
        self, endpoint: str, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Create it; raises InvalidEndpoint if the endpoint is no HTTP URL."""
        self._access = Access(
            checked_endpoint(endpoint),
            {**(headers or {}), **({} if token is None else {"X-Auth-Token": _checked_token(token)})},
        )

    def step(self, _reply: Reply | None) -> Access:
        """Return the fixed access."""
        return self._access

    def invalidate(self) -> bool:
        """Return False: there is no other token."""
        return False


class Session:
    """A keystoneauth session for login, renewal and catalogue; this client sends the other requests."""

    def __init__(self, session: Any, *, endpoint: str | None = None, **selection: Any) -> None:
        """Wrap a session; `selection` has its adapter's options: interface, region_name, auth and so on."""
        self._session = session
        self._endpoint = endpoint
        self._auth = {"auth": selection.pop("auth")} if selection.get("auth") is not None else {}
        selection.pop("auth", None)
        known = ("service_type", "service_name", "interface", "region_name", "endpoint_override")
        chosen = {name: selection[name] for name in known if selection.get(name) is not None}
        self._endpoint = chosen.pop("endpoint_override", None) or self._endpoint
        self._selection = {"service_type": "image", **chosen}

    def step(self, _reply: Reply | None) -> Access:
        """Let the session log in; raises InvalidEndpoint if the catalogue has no image service."""
        endpoint = self._endpoint or self._session.get_endpoint(**self._auth, **self._selection)
        if endpoint is None:
            raise errors.InvalidEndpoint("The session's catalogue has no image service.")
        headers = self._session.get_auth_headers(**self._auth) or {}
        project = self._session.get_project_id(**self._auth)
        identity_url = getattr(self._auth.get("auth") or self._session.auth, "auth_url", None)
        root = checked_endpoint(identity_url) if isinstance(identity_url, str) else None
        return Access(checked_endpoint(endpoint), headers, time.time() + _SESSION_SECONDS, project, root)

    def invalidate(self) -> bool:
        """Invalidate the session's token; return whether the session can log in again."""
        return bool(self._session.invalidate(**self._auth))


@dataclasses.dataclass(frozen=True)
class Login:
    """A login at a Keystone (Identity API v3, or the identity built into Tintype)."""

    auth_url: str
    identity: Mapping[str, Any] = dataclasses.field(repr=False)
    """The `identity` object of the API: `methods`, and an object for each."""
    scope: Mapping[str, Any] | None = None
    interface: str | Sequence[str] = "public"
    """The endpoint's interface; of several, the first that the catalogue has."""
    region_name: str | None = None
    endpoint: str | None = None
    service_type: str = "image"
    service_name: str | None = None

    def step(self, reply: Reply | None) -> "Request[Reply] | Access":
        """Request a token, then find the image service in its catalogue."""
        if reply is None:
            body: dict[str, Any] = {"auth": {"identity": self.identity}}
            if self.scope is not None:
                body["auth"]["scope"] = self.scope
            url = f"{checked_endpoint(self.auth_url)}/v3/auth/tokens"
            return Request("POST", url, lambda answer: answer, body=body)
        token = reply.json()["token"]
        project = token.get("project", {}).get("id")
        return Access(
            checked_endpoint(self.endpoint or self._endpoint_in(token.get("catalog", ()))),
            {"X-Auth-Token": reply.headers.get("x-subject-token", "")},
            _renewal(datetime.fromisoformat(token["expires_at"]).timestamp()),
            project,
            checked_endpoint(self.auth_url),
        )

    def invalidate(self) -> bool:
        """Return True: another login gets a new token."""
        return True

    def _endpoint_in(self, catalogue: Sequence[Mapping[str, Any]]) -> str:
        services = [
            service
            for service in catalogue
            if service.get("type") == self.service_type and self.service_name in {None, service.get("name")}
        ]
        wanted = [self.interface] if isinstance(self.interface, str) else list(self.interface)
        for interface in wanted:
            for service in services:
                for endpoint in service["endpoints"]:
                    region = endpoint.get("region_id") or endpoint.get("region")
                    same = endpoint.get("interface") == interface.removesuffix("URL")
                    if same and self.region_name in {None, region}:
                        return str(endpoint["url"])
        where = f" in region {self.region_name}" if self.region_name else ""
        named = f" named {self.service_name}" if self.service_name else ""
        raise errors.InvalidEndpoint(
            f"The catalogue has no {' or '.join(wanted)} {self.service_type} service{named}{where}."
        )


def password(  # noqa: PLR0913  what OpenStack calls them
    auth_url: str,
    *,
    username: str | None = None,
    user_id: str | None = None,
    password: str,
    project_name: str | None = None,
    project_id: str | None = None,
    user_domain_name: str | None = None,
    user_domain_id: str | None = None,
    project_domain_name: str | None = None,
    project_domain_id: str | None = None,
    **where: Any,
) -> Login:
    """Return a login with a password to a project; the domain is `default` unless one is given."""
    user = (
        {"id": user_id}
        if user_id
        else {"name": username, "domain": _domain(user_domain_name, user_domain_id)}
    )
    return Login(
        auth_url,
        {"methods": ["password"], "password": {"user": {**user, "password": password}}},
        _scope(project_name, project_id, project_domain_name, project_domain_id),
        **where,
    )


def token(
    auth_url: str,
    *,
    token: str,
    project_name: str | None = None,
    project_id: str | None = None,
    project_domain_name: str | None = None,
    project_domain_id: str | None = None,
    **where: Any,
) -> Login:
    """Return a login that exchanges a token for one scoped to a project."""
    return Login(
        auth_url,
        {"methods": ["token"], "token": {"id": token}},
        _scope(project_name, project_id, project_domain_name, project_domain_id),
        **where,
    )


def application_credential(  # noqa: PLR0913  what OpenStack calls them
    auth_url: str,
    *,
    application_credential_secret: str,
    application_credential_id: str | None = None,
    application_credential_name: str | None = None,
    username: str | None = None,
    user_id: str | None = None,
    user_domain_name: str | None = None,
    user_domain_id: str | None = None,
    project_name: str | None = None,
    project_id: str | None = None,
    project_domain_name: str | None = None,
    project_domain_id: str | None = None,
    **where: Any,
) -> Login:
    """Return a login with an application credential, to its own project unless another is given."""
    named: dict[str, Any] = {"id": application_credential_id}
    if application_credential_id is None:
        user = (
            {"id": user_id}
            if user_id
            else {"name": username, "domain": _domain(user_domain_name, user_domain_id)}
        )
        named = {"name": application_credential_name, "user": user}
    secret = {**named, "secret": application_credential_secret}
    return Login(
        auth_url,
        {"methods": ["application_credential"], "application_credential": secret},
        _scope(project_name, project_id, project_domain_name, project_domain_id),
        **where,
    )


def checked_url(url: str) -> str:
    """Return an HTTP URL; raises InvalidEndpoint if it is none."""
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        raise errors.InvalidEndpoint(f"{url!r} is not the address of a service.") from None
    if port == 0 or parts.scheme not in {"http", "https"} or not parts.netloc:
        raise errors.InvalidEndpoint(f"{url!r} is not the address of a service. Example: http://host:9292")
    return url


def checked_endpoint(url: str) -> str:
    """Return the root of a service: its URL without a version at the end."""
    return _VERSION.sub("", checked_url(url).rstrip("/"))


def _checked_token(token: str) -> str:
    token = token.strip()  # mostly with a line break, read from a file
    if not token.isascii() or not token.isprintable():
        raise errors.InvalidEndpoint("The token has characters that no token has.")
    return token


def _renewal(expires_at: float) -> float:
    return expires_at - min(_EARLY_SECONDS, (expires_at - time.time()) / 4)


def _domain(name: str | None, domain_id: str | None) -> dict[str, str]:
    return {"name": name} if name and not domain_id else {"id": domain_id or "default"}


def _scope(
    name: str | None, project_id: str | None, domain_name: str | None, domain_id: str | None
) -> dict[str, Any] | None:
    if project_id:
        return {"project": {"id": project_id}}
    return {"project": {"name": name, "domain": _domain(domain_name, domain_id)}} if name else None
