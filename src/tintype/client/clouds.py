"""Where the clouds of a person are written: `clouds.yaml`, `secure.yaml` beside it, and `OS_…` variables.

https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html; the files of the `openstack`
command work here.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tintype.client import errors, identity

_KINDS: Final[Mapping[str, Callable[..., identity.Identity]]] = {
    "password": identity.password,
    "v3password": identity.password,
    "token": identity.token,
    "v3token": identity.token,
    "v3applicationcredential": identity.application_credential,
}
_AUTH: Final = (
    "auth_url",
    "username",
    "user_id",
    "password",
    "token",
    "project_name",
    "project_id",
    "user_domain_name",
    "user_domain_id",
    "project_domain_name",
    "project_domain_id",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
)
_OLD_NAMES: Final = {"tenant_name": "project_name", "tenant_id": "project_id", "user_name": "username"}
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A cloud as it was found: who asks, and how its certificates are checked."""

    identity: identity.Identity
    verify: bool | str = True
    """Or the file of the authorities to trust."""
    cert: str | tuple[str, str] | None = None


def find(name: str | None, environ: Mapping[str, str], **overrides: Any) -> Cloud:
    """Give a cloud of the files by its name; None asks the environment, `OS_CLOUD` first.

    Raises InvalidEndpoint where nothing says which cloud, or how to log in there.
    """
    name = name or environ.get("OS_CLOUD")
    if name is not None:
        config = _from_files(name, environ)
    else:
        config = _from_environment(environ)
        if not config["auth"] and not config.get("image_endpoint_override"):
            raise errors.InvalidEndpoint(
                "Which cloud? Name one of clouds.yaml with --cloud or OS_CLOUD, or set OS_AUTH_URL and so on."
            )
    return cloud({**config, **{key: value for key, value in overrides.items() if value is not None}})


def is_named(environ: Mapping[str, str]) -> bool:
    """Say whether the environment names a cloud, or a login."""
    return bool(environ.get("OS_CLOUD") or environ.get("OS_AUTH_URL"))


def cloud(config: Mapping[str, Any]) -> Cloud:
    """Make a cloud of its entry in `clouds.yaml`."""
    auth = {_OLD_NAMES.get(key, key): value for key, value in (config.get("auth") or {}).items()}
    endpoint = config.get("image_endpoint_override") or config.get("endpoint_override")
    verify = config.get("verify", True) and not config.get("insecure")
    cacert, cert, key = (_home(config.get(name)) for name in ("cacert", "cert", "key"))
    trusted: bool | str = (cacert or True) if verify else False
    kind = config.get("auth_type") or _kind_of(auth)
    who: identity.Identity
    if kind in {"none", "noauth", "admin_token"} or (endpoint and "auth_url" not in auth):
        who = identity.Given(str(endpoint or auth.get("endpoint") or ""), auth.get("token"))
    elif kind in _KINDS:
        _check(config, auth)
        login = _KINDS[kind]
        taken = set(inspect.signature(login).parameters) & set(_AUTH)
        known = {name: str(auth[name]) for name in taken if auth.get(name) is not None}
        where = {
            "interface": str(config.get("interface") or "public"),
            "region_name": config.get("region_name"),
            "endpoint": endpoint,
        }
        try:
            who = login(**known, **where)
        except TypeError:
            needed = ", ".join(sorted(taken - set(known)))
            raise errors.InvalidEndpoint(f"A login by {kind} lacks some of: {needed}.") from None
    else:
        raise errors.InvalidEndpoint(
            f"Logins of type {kind} are keystoneauth's: make a session with it and pass session=."
        )
    return Cloud(who, trusted, (cert, key) if cert and key else cert)


def _check(config: Mapping[str, Any], auth: Mapping[str, Any]) -> None:
    """Refuse by name what would be left out otherwise."""
    for name in ("system_scope", "domain_id", "domain_name", "trust_id"):
        if auth.get(name) is not None:
            raise errors.InvalidEndpoint(
                f"Images belong to projects: {name} of this cloud cannot be used here."
            )
    if config.get("profile"):
        raise errors.InvalidEndpoint(
            "Profiles of vendors are openstacksdk's: make a session with it and pass session=."
        )


def _home(path: Any) -> str | None:
    return None if path is None else str(Path(str(path)).expanduser())


def _kind_of(auth: Mapping[str, Any]) -> str:
    if "application_credential_secret" in auth:
        return "v3applicationcredential"
    return "token" if "token" in auth and "password" not in auth else "password"


def _from_files(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    paths = _candidates("clouds", environ.get("OS_CLIENT_CONFIG_FILE"), environ)
    secure = _candidates("secure", environ.get("OS_CLIENT_SECURE_FILE"), environ)
    if not paths:
        raise errors.InvalidEndpoint(f"There is no clouds.yaml to find the cloud {name} in.")
    entry = _clouds(paths[0]).get(name)
    if entry is None:
        known = ", ".join(_clouds(paths[0])) or "none"
        raise errors.InvalidEndpoint(f"There is no cloud {name} in {paths[0]}. There are: {known}.")
    hidden = _clouds(secure[0]).get(name, {}) if secure else {}
    auth = {**(entry.get("auth") or {}), **(hidden.get("auth") or {})}
    return {**entry, **hidden, "auth": auth}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    auth = {
        name: environ[f"OS_{name.upper()}"]
        for name in (*_AUTH, *_OLD_NAMES)
        if environ.get(f"OS_{name.upper()}")
    }
    found = {
        "auth_type": environ.get("OS_AUTH_TYPE"),
        "region_name": environ.get("OS_REGION_NAME"),
        "interface": environ.get("OS_INTERFACE") or environ.get("OS_ENDPOINT_TYPE"),
        "cacert": environ.get("OS_CACERT"),
        "cert": environ.get("OS_CERT"),
        "key": environ.get("OS_KEY"),
        "image_endpoint_override": environ.get("OS_IMAGE_ENDPOINT_OVERRIDE") or environ.get("OS_ENDPOINT"),
        "insecure": environ.get("OS_INSECURE", "").lower() not in _FALSE,
    }
    return {"auth": auth, **{name: value for name, value in found.items() if value is not None}}


def _candidates(stem: str, named: str | None, environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    folders = (Path(), home / "openstack", Path("/etc/openstack"))
    usual = [folder / f"{stem}{ending}" for folder in folders for ending in (".yaml", ".yml")]
    return [path for path in ([Path(named)] if named else []) + usual if path.is_file()]


def _clouds(path: Path) -> dict[str, Any]:
    import yaml  # only who has such a file pays for its parser

    try:
        found = yaml.safe_load(path.read_text()) or {}
        return dict(found.get("clouds") or {})
    except (OSError, yaml.YAMLError, AttributeError, ValueError) as error:
        raise errors.InvalidEndpoint(f"{path} cannot be read: {error}") from None
