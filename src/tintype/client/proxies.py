"""Finds the proxy for a host in `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`."""

import contextlib
import importlib.util
import ipaddress
from typing import Final
from urllib.request import getproxies, proxy_bypass

from tintype.client import errors

_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def proxy_for(scheme: str, host: str, port: int | None) -> str | None:
    """Return the URL of the proxy for a host; None if requests go there directly.

    Only the variables for this host are checked. Raises InvalidEndpoint for an unusable proxy.
    """
    known = getproxies()
    name = scheme if known.get(scheme) else "all"
    proxy = known.get(name)
    if not proxy or _is_excepted(host, port, known.get("no", "")) or proxy_bypass(host):
        return None
    return _checked(proxy if "://" in proxy else f"http://{proxy}", f"{name.upper()}_PROXY")


def _checked(proxy: str, variable: str) -> str:
    """Return a valid proxy; errors name the variable, not the URL, which may contain a password."""
    scheme, _, rest = proxy.partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise errors.InvalidEndpoint(
            f"{variable}: {scheme!r} is not a type of proxy. Supported: {', '.join(_SCHEMES)}. Hosts in "
            "NO_PROXY are reached directly."
        )
    if not rest.rpartition("@")[2].partition("/")[0]:
        raise errors.InvalidEndpoint(f"{variable} names no host. It is like http://proxy.example:3128")
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise errors.InvalidEndpoint(
            f"{variable}: a SOCKS proxy needs the package socksio (pip install socksio). Hosts in NO_PROXY "
            "need no proxy."
        )
    return proxy


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    host = host.strip("[]").lower()
    for each in exceptions.lower().split(","):
        name = each.strip().partition("://")[2] or each.strip()
        if name == "*":
            return True
        if port is not None and name.endswith(f":{port}") and name.count(":") == 1:
            name = name.removesuffix(f":{port}")
        name = name.strip("[]").removeprefix("*").lstrip(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
        with contextlib.suppress(ValueError):
            if "/" in name and ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False
