"""Which web addresses the service may connect to for a user: only public ones, by default.

A name is resolved once, all its addresses are checked, and the connection is made to a checked one
(`blobs/web.py`). So neither encodings, redirects nor DNS rebinding lead into the internal network.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tintype.errors import Invalid, StartError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST: Final = 8192
"""The most characters of a URL: presigned ones with session tokens have thousands."""
_SHOWN: Final = 200
"""The most characters of a URL that are shown."""
_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\.?")
_UNSAFE: Final = re.compile(r"[^!-~]|[\\<>\"^`{|}]")
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9._-]*)(?::[0-9]*)?")
"""A host and perhaps a port, and nothing else."""
_NEVER: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        "168.63.129.16/32",  # Azure's platform services, as seen by virtual machines
        *("2001::/23", "2002::/16", "3fff::/20"),
    )
)
"""Networks that are not global although some versions of Python say so, or that once were global."""
_GLOBAL_6: Final = ipaddress.ip_network("2000::/3")
"""The global unicast range of IPv6."""
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""The IPv6 prefix of translated IPv4 addresses (RFC 6052)."""


class Target(msgspec.Struct, frozen=True):
    """The destination of a URL."""

    scheme: str
    host: str
    port: int


class WebRules(msgspec.Struct, frozen=True):
    """The operator's rules for web addresses, in addition to the fixed ones."""

    allowed: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public."""
    denied: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset(_PORTS.values())
    schemes: frozenset[str] = frozenset(_PORTS)
    anywhere: bool = False
    """Whether to allow all addresses, ports and credentials, for URLs that the operator has set."""

    def check_url(self, url: str) -> Target:
        """Return the destination of a URL. Raises Invalid if the URL alone shows that it is not allowed."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _refused(url, "it is malformed") from None
        if len(url) > LONGEST:
            raise _refused(url, f"it has {len(url)} characters; at most {LONGEST} are allowed")
        if _UNSAFE.search(url):
            raise _refused(url, "it contains characters that must be percent-encoded in a URL")
        if parts.scheme not in (_PORTS if self.anywhere else self.schemes):
            raise _refused(url, f"its scheme must be one of: {', '.join(sorted(self.schemes))}")
        if not self.anywhere and "@" in parts.netloc:
            raise _refused(url, "it contains a user name or password, which is not allowed")
        if not _is_host(host):
            raise _refused(url, "its host is neither a name nor an address in its usual form")
        target = Target(parts.scheme, host, port or _PORTS[parts.scheme])
        if port == 0 or not (self.anywhere or target.port in self.ports):
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise _refused(url, f"port {target.port} is not allowed; allowed: {allowed}")
        return target

    def check_addresses(self, host: str, found: Sequence[str]) -> None:
        """Raise Invalid if any of a host's addresses is not allowed, or if it has none.

        Both errors look the same to callers, so that they cannot probe for internal names; the error's notes
        tell operators which it is.
        """
        if self.anywhere:
            if not found:
                raise Invalid(f"The host name {host} was not found in DNS. Check the URL.")
            return
        hidden = [address for address in found if not self.reachable(address)]
        if found and not hidden:
            return
        if hidden == [host.strip("[]")]:  # the caller gave the address itself
            raise _refused(host, "the address is not public")
        refusal = _refused(host, "the host was not found in DNS, or has an address that is not public")
        refusal.add_note(f"{host} has the address {hidden[0]}" if hidden else f"{host} has no address")
        raise refusal

    def reachable(self, text: str) -> bool:
        """Return whether an address may be connected to; embedded IPv4 addresses count as themselves."""
        try:
            address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        if _within(address, self.denied):
            return False
        if _within(address, self.allowed):
            return True
        given = address.version == 4 or address in _GLOBAL_6
        return given and address.is_global and not address.is_multicast and not _within(address, _NEVER)


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Parse networks of the settings. Raises StartError for an invalid one."""
    found = []
    for name in names:
        try:
            found.append(ipaddress.ip_network(name))
        except ValueError as error:
            raise StartError(f"'{name}' is not a network: {error}.") from None
    return tuple(found)


def is_address(host: str) -> bool:
    """Return whether a host is an address rather than a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    """Return whether a host is a name or a full address, not an octal, hexadecimal or short form."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return len(host) < 254 and bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(last)
    return "%" not in host


def _plain(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def _within(address: Address, within: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in within)


def display_url(url: str) -> str:
    """Return a URL without anything that may be secret: scheme, host, port and path.

    User names and passwords, queries (presigned URLs have their signature there) and fragments are left
    out, as is anything that is not plainly a host and a path.
    """
    text = re.split(r"[?#]", url, maxsplit=1)[0]
    if "@" in url[len(text) :] and "@" not in text:  # perhaps a password that contains ? or #
        return f"{url.partition('://')[0]}://…" if "://" in text else "…"
    scheme, mark, rest = text.partition("://") if "://" in text else ("", "", text)
    authority, slash, path = rest.partition("/")
    scheme, authority = scheme.rpartition("@")[2], authority.rpartition("@")[2]
    if mark and not _AUTHORITY.fullmatch(authority):
        authority, slash, path = "…", "", ""
    elif "@" in path:  # perhaps a password that contains a slash
        path = "…"
    shown = re.sub(r"[^ -~…]", "?", f"{scheme}{mark}{authority}{slash}{path}")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _refused(url: str, why: str) -> Invalid:
    return Invalid(f"URI does not pass filtering: {display_url(url)}: {why}.")
