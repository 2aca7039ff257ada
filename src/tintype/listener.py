"""The socket that clients connect to, the URL at which they reach it, and the CA file for its certificate."""

import errno
import functools
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tintype.errors import StartError

_HINTS: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: " Is Tintype running already? Another port: --port.",
    errno.EACCES: " Ports below 1024 need the capability CAP_NET_BIND_SERVICE. Another port: --port.",
    errno.EADDRNOTAVAIL: " This host has no such address; 0.0.0.0 and :: are all that it has.",
}


class Listener(socket.socket):
    """A bound socket. Pickling it to another process creates a new socket at the same address.

    So the system distributes connections evenly among the processes. On a shared socket, the process that
    wakes first accepts all that arrive at once.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Listener.at, beside_others=True), (self.family, self.getsockname())

    @classmethod
    def at(cls, family: int, address: tuple[Any, ...], *, beside_others: bool) -> "Listener":
        """Bind a socket; with `beside_others`, at an address where other processes have one."""
        listener = cls(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, beside_others)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return listener


def listen(host: str, port: int) -> Listener:
    """Open the socket before anything else is done; raises StartError if that fails."""
    host = host.removeprefix("[").removesuffix("]")  # the form of an IPv6 address in URLs
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return Listener.at(family, address, beside_others=False)
    except OSError as error:  # socket.gaierror is one
        hint = _HINTS.get(error.errno or 0, "")
        raise StartError(f"Cannot listen on {host} port {port}: {error.strerror}.{hint}") from error


_ANYWHERE: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses: looking up the route to them sends nothing."""
_FLIGHTS: Final = 8


class Certificate(msgspec.Struct, frozen=True):
    """The files of a server's certificate; the key may be in the same file."""

    file: str
    key: str | None


def client_url(address: str, port: int, certificate: Certificate | None) -> str:
    """Return the URL of a server that listens on an address, wildcards included.

    With a certificate, the host is a name in the certificate that resolves to the address, if there is one.
    """
    host = ipaddress.ip_address(address)
    shown = _outgoing(host.version) if host.is_unspecified else address
    if certificate is None:
        return f"http://{_bracketed(shown)}:{port}"
    return f"https://{_bracketed(_certified(certificate.file, shown, anywhere=host.is_unspecified))}:{port}"


def authorities(certificate: Certificate, host: str, known: str | None) -> tuple[bool, str | None]:
    """Return whether clients can trust a certificate for a host, and the CA file they need.

    None means the system's. The file `known` to a client is kept while it works; a self-signed certificate
    is its own authority.
    """
    own = str(Path(certificate.file).resolve())
    for cafile in (known, None, own):
        if _verifies(certificate, host, cafile):
            return True, cafile
    return False, known


def _verifies(certificate: Certificate, host: str, cafile: str | None) -> bool:
    """Return whether a handshake in memory succeeds."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(certificate.file, certificate.key, password="")
        client_context = ssl.create_default_context(cafile=cafile)
        client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
        server = server_context.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(_FLIGHTS):
            waits = False
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    waits = True
            if not waits:
                return True
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        pass
    return False


def _outgoing(version: int) -> str:
    """Return this host's address for outgoing connections; loopback without a route."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ANYWHERE[version], 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1" if version == 4 else "::1"


def _certified(file: str, shown: str, *, anywhere: bool) -> str:
    """Return the host for a URL: a name in the certificate, if there is a suitable one."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(Path(file).read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return shown  # check_certificate reports what is wrong with it
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    if shown in addresses:
        return shown
    hosts = [name for name in names.get_values_for_type(x509.DNSName) if "*" not in name]
    return next((host for host in (*hosts, *addresses) if anywhere or shown in _resolved(host)), shown)


def _resolved(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
