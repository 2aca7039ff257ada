"""Finds the cloud that a caller means, and how to log in: `clouds.yaml`, `OS_…` variables, arguments.

Arguments override variables, and variables override files. Files and variables have the same meaning as in
openstacksdk: `cloud_files` finds and merges files, `cloud_settings` computes the effective settings.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from tintype.client import cloud_files, cloud_settings, errors, identity

_KINDS: Final[Mapping[str, Callable[..., identity.Identity]]] = {
    "password": identity.password,
    "v3password": identity.password,
    "token": identity.token,
    "v3token": identity.token,
    "v3applicationcredential": identity.application_credential,
}
_WITHOUT_LOGIN: Final = frozenset({"none", "None", "noauth", "admin_token", "token_endpoint"})
_SCOPES: Final = ("system_scope", "domain_id", "domain_name", "trust_id")
_LOGINS: Final = ("auth_url", "auth_type", "image_endpoint_override", "image_endpoint", "endpoint", "url")
"""If any of these is set, the variables alone describe a cloud."""


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A cloud: how to log in, and how to talk to it."""

    identity: identity.Identity
    verify: bool | str = True
    """Whether certificates are verified, or the file of CA certificates to use."""
    cert: str | tuple[str, str] | None = None
    timeout: float | None = None
    """The longest wait for a byte, in seconds."""


def find(name: str | None, environ: Mapping[str, str], **arguments: Any) -> Cloud:
    """Return the named cloud, else that of `OS_CLOUD`, of the variables, or the only one in the file.

    `arguments` are settings that override everything else. Raises InvalidEndpoint if no cloud is given, or
    the login is missing.
    """
    own = environ.get("OS_CLOUD_NAME") or "envvars"
    name = name or environ.get("OS_CLOUD") or (own if _describes(environ) else None)
    more = cloud_settings.variables(environ)
    if name == own:
        return cloud(cloud_settings.resolve(name, {}, environ, more, arguments), environ)
    found = cloud_files.read(environ)
    if name is None:
        if len(found.entries) != 1:
            known = f" Clouds in {found.path}: {', '.join(found.entries)}." if found.entries else ""
            raise errors.InvalidEndpoint(
                "Which cloud? Name one of clouds.yaml with --cloud or OS_CLOUD, or set OS_AUTH_URL and so on."
                f"{known}"
            )
        (name,) = found.entries
    more = {key: value for key, value in more.items() if not cloud_settings.alone(key)}
    return cloud(cloud_settings.resolve(name, found.get(name), environ, more, arguments), environ)


def at(endpoint: str, token: str | None, environ: Mapping[str, str]) -> Cloud:
    """Return an image service at a URL, with the certificates from variables."""
    more = {key: environ.get(f"OS_{key.upper()}") or None for key in ("cacert", "cert", "key", "api_timeout")}
    return cloud({**more, "auth_type": "none", "auth": {"endpoint": endpoint, "token": token}}, environ)


def is_named(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names or describes a cloud."""
    return bool(environ.get("OS_CLOUD") or environ.get("OS_AUTH_URL"))


def cloud(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Cloud:
    """Return the cloud for effective settings."""
    cert, key = (_file(settings.get(name), environ) for name in ("cert", "key"))
    return Cloud(
        _identity(settings, settings["auth"]),
        _verify(settings, environ),
        (cert, key) if cert and key else cert,
        _timeout(settings.get("api_timeout")),
    )


def _describes(environ: Mapping[str, str]) -> bool:
    return any(environ.get(f"OS_{name.upper()}") for name in _LOGINS)


def _identity(settings: Mapping[str, Any], auth: Mapping[str, Any]) -> identity.Identity:
    endpoint = settings.get("image_endpoint_override") or settings.get("image_endpoint")
    kind = settings.get("auth_type") or _kind(auth)
    if kind in _WITHOUT_LOGIN or ("auth_url" not in auth and (endpoint or auth.get("endpoint"))):
        return identity.StaticAccess(str(endpoint or auth.get("endpoint") or ""), auth.get("token"))
    if kind not in _KINDS:
        raise errors.InvalidEndpoint(
            f"Cannot log in with auth_type {kind}. Known are: {', '.join((*_KINDS, 'none', 'admin_token'))}. "
            "For others, make a keystoneauth session and pass it as session=."
        )
    for name in _SCOPES:
        if name in auth:
            raise errors.InvalidEndpoint(
                f"Images belong to projects, so {name} of this cloud cannot be used. Set a project."
            )
    login = _KINDS[kind]
    parameters = inspect.signature(login).parameters
    known = {name: value for name, value in auth.items() if name in parameters}
    _check_complete(kind, parameters, known)
    interface, region = (
        settings.get(f"image_{name}") or settings.get(name) for name in ("interface", "region_name")
    )
    return login(
        **known,
        interface=interface or "public",
        region_name=region,
        endpoint=endpoint,
        service_type=settings.get("image_service_type") or "image",
        service_name=settings.get("image_service_name"),
    )


def _check_complete(kind: str, parameters: Mapping[str, inspect.Parameter], known: Mapping[str, Any]) -> None:
    """Raise InvalidEndpoint with the names of missing settings of a login."""
    missing = [name for name, each in parameters.items() if each.default is each.empty and name not in known]
    missing = [name for name in missing if name != "where"]
    for several in (("username", "user_id"), ("application_credential_id", "application_credential_name")):
        named = several[0] in parameters and "application_credential_id" not in known
        if named and not set(several) & set(known):
            missing.append(" or ".join(several))
    if missing:
        raise errors.InvalidEndpoint(
            f"The cloud lacks, for a login by {kind}: {', '.join(missing)}. Name a cloud of clouds.yaml with "
            "--cloud or OS_CLOUD, or set the variables (OS_PASSWORD and so on)."
        )


def _kind(auth: Mapping[str, Any]) -> str:
    if "password" not in auth:
        if "endpoint" in auth and "token" in auth:
            return "admin_token"
        if "application_credential_secret" in auth:
            return "v3applicationcredential"
        if "token" in auth:
            return "token"
    return "password"


def _verify(settings: Mapping[str, Any], environ: Mapping[str, str]) -> bool | str:
    """Return how to verify certificates. Ambiguous text does not disable it."""
    insecure, verify = settings.get("insecure"), settings.get("verify", True)
    if isinstance(insecure, str):
        insecure = insecure.lower() == "true"
    if verify is None or (isinstance(verify, str) and verify.lower() in {"", "true"}):
        verify = True
    if not isinstance(insecure, bool | None) or not isinstance(verify, bool | str):
        raise errors.InvalidEndpoint("'insecure' and 'verify' of a cloud are true or false.")
    if isinstance(verify, str) and verify.lower() in {"false", "no", "off", "0"}:
        raise errors.InvalidEndpoint(
            f"'verify' of this cloud is the text {verify!r}. To switch checks of certificates off, write "
            "false without quotes; else write true, or the path of a file of authorities."
        )
    if insecure or not verify:
        return False
    cacert = _file(settings.get("cacert"), environ)
    return cacert or (verify if verify is True else str(_file(verify, environ)))


def _file(path: Any, environ: Mapping[str, str]) -> str | None:
    return str(cloud_files.home(str(path), environ)) if path else None


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise errors.InvalidEndpoint(f"api_timeout is a number of seconds above 0, not {value!r}.")
    return seconds
