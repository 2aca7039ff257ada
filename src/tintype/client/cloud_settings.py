"""Merges the settings of a cloud: its profile, entry and region, then variables, then arguments.

The result is the same as openstacksdk's, so that the same files and variables mean the same as for the
`openstack` command; `tests/client/test_clouds.py` compares the two.
"""

from collections.abc import Mapping
from typing import Any, Final

from tintype.client import errors
from tintype.client.cloud_files import normalized, profile

Settings = dict[str, Any]

_PREFERRED: Final = {
    "domain_id": ("domain_id",),
    "domain_name": ("domain_name",),
    "user_domain_id": ("user_domain_id",),
    "user_domain_name": ("user_domain_name",),
    "project_domain_id": ("project_domain_id",),
    "project_domain_name": ("project_domain_name",),
    "token": ("auth_token", "token"),
    "project_id": ("tenant_id", "project_id"),
    "project_name": ("tenant_name", "project_name"),
}
"""For these, the value beside `auth` takes precedence over the one in it; the last of several names wins."""
_OTHERS: Final = {
    "auth_url": ("auth_url",),
    "username": ("username", "user_name"),
    "user_id": ("user_id",),
    "password": ("password",),
    "system_scope": ("system_scope",),
    "trust_id": ("trust_id",),
    "default_domain_id": ("default_domain_id",),
    "default_domain_name": ("default_domain_name",),
    "application_credential_id": ("application_credential_id",),
    "application_credential_name": ("application_credential_name",),
    "application_credential_secret": ("application_credential_secret",),
    "endpoint": ("endpoint", "url"),
}
"""For these, the value in `auth` takes precedence; the first of several names wins."""
_ALTERNATIVES: Final = (
    ("project_id", "project_name"),
    ("user_id", "username"),
    ("domain_id", "domain_name"),
    ("user_domain_id", "user_domain_name"),
    ("project_domain_id", "project_domain_name"),
    ("application_credential_id", "application_credential_name"),
)
"""Two ways to name one thing: a variable for either replaces both in a file."""
_SELECTORS: Final = frozenset({"cloud", "cloud_name", "client_config_file", "client_secure_file"})
_FOREIGN: Final = ("test", "std", "log")
"""Prefixes of variables that belong to OpenStack's test tools."""
_ONLY_ALONE: Final = frozenset({"insecure", "verify", "profile", "regions"})
"""Variables that do not apply to a cloud from a file: they could disable its checks."""


def variables(environ: Mapping[str, str]) -> Settings:
    """Return the `OS_…` variables as settings; empty variables are ignored."""
    named = {name[3:].lower(): value for name, value in environ.items() if name.startswith("OS_") and value}
    return {
        name: value
        for name, value in named.items()
        if name not in _SELECTORS and not name.startswith(_FOREIGN)
    }


def resolve(
    name: str,
    entry: Mapping[str, Any],
    environ: Mapping[str, str],
    more: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> Settings:
    """Return the effective settings of a cloud: `arguments` and `more` (variables) override its `entry`.

    Raises InvalidEndpoint for an unknown region, and for invalid settings.
    """
    base: Settings = {"auth": {}}
    vendor = entry.get("profile") or entry.get("cloud")
    if vendor:
        _update(base, profile(str(vendor), environ))
    known = _regions(entry) or _regions(base)
    _update(base, entry)
    region, values = _region(name, known, arguments.get("region_name") or more.get("region_name"))
    base.pop("regions", None)
    _update(base, normalized(values))
    base["region_name"] = region
    base = _renamed(base)
    auth = _auth(base)
    for layer in (more, arguments):
        _overlay(base, auth, _renamed(layer))
    _domains(auth, base.get("default_domain"))
    base["auth"] = auth
    return _expanded(name, base)


def alone(name: str) -> bool:
    """Return whether a variable is used only if the variables alone describe the cloud."""
    return name in _ONLY_ALONE


def _update(old: Settings, new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if value is None:
            continue
        old[key] = {**(old.get("auth") or {}), **value} if key == "auth" else value


def _regions(entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the regions of a cloud, with the settings of each."""
    if entry.get("regions"):
        given = entry["regions"]
    else:
        given = entry.get("region_name") or ()
        given = given.split(",") if isinstance(given, str) else given
    made: list[tuple[str, Mapping[str, Any]]] = []
    for each in given if isinstance(given, list | tuple) else (given,):
        if isinstance(each, dict) and "name" in each and each.keys() <= {"name", "values"}:
            made.append((str(each["name"]), each.get("values") or {}))
        elif isinstance(each, str | int):
            made.append((str(each), {}))
        else:
            raise errors.InvalidEndpoint(
                "An entry of 'regions' is a name, or a mapping of 'name' and 'values'."
            )
    return made


def _region(
    name: str, known: list[tuple[str, Mapping[str, Any]]], wanted: Any
) -> tuple[str | None, Mapping[str, Any]]:
    if not known:
        return wanted, {}
    if not wanted:
        return known[0]
    for region in known:
        if region[0] == wanted:
            return region
    there = ", ".join(region for region, _ in known)
    raise errors.InvalidEndpoint(f"Cloud {name} has no region {wanted}. It has: {there}.")


def _renamed(settings: Mapping[str, Any]) -> Settings:
    """Return settings with old names replaced by current ones."""
    made = {key.replace("endpoint_type", "interface"): value for key, value in settings.items()}
    for key, value in settings.items():
        if key.endswith("_timeout") and key != "api_timeout":
            made["api_timeout"] = value
    return made


def _auth(settings: Settings) -> Settings:
    """Remove the login's settings, in `auth` or beside it, and return them."""
    inner = settings.pop("auth")
    found: Settings = {}
    for target, names in _PREFERRED.items():
        given = [place.get(name) for name in names for place in (inner, settings)]
        found[target] = next((value for value in reversed(given) if value), None)
    for target, names in _OTHERS.items():
        given = [place.get(name) for place in (inner, settings) for name in names]
        found[target] = next((value for value in given if value), None)
    return {name: str(value) for name, value in found.items() if value is not None}


def _overlay(base: Settings, auth: Settings, layer: Settings) -> None:
    """Merge a layer of settings over a cloud's."""
    layer = {name: value for name, value in layer.items() if value is not None and name != "region_name"}
    own = _auth({**layer, "auth": {}})
    for pair in _ALTERNATIVES:
        if any(name in own for name in pair):
            for name in pair:
                auth.pop(name, None)
    auth.update(own)
    base.update({name: value for name, value in layer.items() if name not in own})


def _domains(auth: Settings, default: Any) -> None:
    """Apply a domain that is given once to user and project; without a project it is the scope."""
    if "project_id" in auth or "project_name" in auth:
        for form in ("id", "name"):
            domain = auth.pop(f"domain_{form}", None)
            for noun in ("user", "project"):
                if domain is not None:
                    auth.setdefault(f"{noun}_domain_{form}", domain)
    for noun in ("user", "project"):
        for form in ("id", "name"):
            if f"default_domain_{form}" in auth:
                auth.setdefault(f"{noun}_domain_{form}", auth[f"default_domain_{form}"])
        if default and not any(f"{noun}_domain_{form}" in auth for form in ("id", "name")):
            auth[f"{noun}_domain_id"] = str(default)


def _expanded(name: str, settings: Settings) -> Settings:
    """Replace placeholders such as `{region_name}` in URLs and paths."""
    for place, keys in (
        (settings, [key for key, value in settings.items() if isinstance(value, str)]),
        (settings["auth"], ["auth_url"]),
    ):
        for key in keys:
            if key != "password" and "{" in str(place.get(key, "")):
                try:
                    place[key] = place[key].format(**settings)
                except (KeyError, IndexError, ValueError, AttributeError, TypeError):
                    raise errors.InvalidEndpoint(
                        f"Cloud {name}: {key} has braces around a name that is not a setting of the cloud."
                    ) from None
    return settings
