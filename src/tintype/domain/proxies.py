"""Which requests use a proxy: according to the settings, never the environment."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from tintype.domain.addresses import Network, Target
from tintype.errors import StartError

EVERYTHING: Final = "*"
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Proxy(msgspec.Struct, frozen=True):
    """A proxy with its credentials."""

    url: str
    """Without credentials."""
    credentials: tuple[str, str] | None = None

    @property
    def whole_url(self) -> str:
        """Return the URL with the credentials in it."""
        if self.credentials is None:
            return self.url
        user, password = (quote(part, safe="") for part in self.credentials)
        return self.url.replace("://", f"://{user}:{password}@")


class ProxyRules(msgspec.Struct, frozen=True):
    """Proxies by URL scheme, and the hosts that are reached directly."""

    setting: str = ""
    """Name of the setting, for error texts, which must not reveal the proxy's address to callers."""
    proxies: Mapping[str, Proxy] = {}
    names: tuple[str, ...] = ()
    """Hosts and domains that are reached directly, including subdomains."""
    networks: tuple[Network, ...] = ()
    """Networks that are reached directly."""

    def choose(self, target: Target) -> Proxy | None:
        """Return the proxy for a target, judging by its name; None for a direct connection."""
        host = target.host.rstrip(".")
        direct = any(name == EVERYTHING or f".{host}".endswith(f".{name}") for name in self.names)
        return None if direct else self.proxies.get(target.scheme)

    def bypasses(self, addresses: Sequence[str]) -> bool:
        """Return whether a host is reached directly because all its addresses are in such networks."""
        return bool(addresses) and all(
            any(address in network for network in self.networks)
            for address in map(ipaddress.ip_address, (text.partition("%")[0] for text in addresses))
        )


def parse_proxies(setting: str, urls: Iterable[tuple[str, str]], direct: Iterable[str] = ()) -> ProxyRules:
    """Parse the settings. Raises StartError for an invalid proxy URL or an invalid direct host."""
    names, networks = [], []
    for entry in direct:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            name = entry.lower().removeprefix("*.").strip(".")
            if name != EVERYTHING and not _NAME.fullmatch(name):
                raise StartError(
                    f"{setting.replace('proxy', 'no_proxy', 1)} has '{entry}', which is not a host, domain, "
                    "network (10.0.0.0/8) or *."
                ) from None
            names.append(name)
    proxies = {scheme: _parse(setting, url) for scheme, url in urls}
    return ProxyRules(setting, proxies, tuple(names), tuple(networks))


def _parse(setting: str, url: str) -> Proxy:
    """Parse one proxy's URL. Errors do not show it because it may contain a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme != "http" or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise StartError(f"{setting} must be written like http://proxy.example.org:3128.")
    credentials = None
    if parts.username is not None:
        credentials = (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(f"http://{f'[{host}]' if ':' in host else host}:{port}", credentials)
