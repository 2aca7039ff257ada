"""The URL at which clients reach a listening socket, and the CA file that they need for its certificate."""

import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Final

import msgspec

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
