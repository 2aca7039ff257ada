"""The address that a start tells clients, and how they come to trust its certificate."""

import datetime as dt
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tintype.listener import Certificate, authorities, client_url

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issue(name: str, *hosts: str, by: Pair | None = None) -> Pair:
    """Make a certificate for hosts, signed by an authority or by itself; without hosts it is an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, signer = (by[0].subject, by[1]) if by else (subject, key)
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(1))
        .not_valid_after(today + dt.timedelta(1))
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
    )
    if hosts:
        made = made.add_extension(x509.SubjectAlternativeName(list(map(alternative, hosts))), critical=False)
    return made.sign(signer, hashes.SHA256()), key


def alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def stored(folder: Path, pair: Pair, *more: x509.Certificate) -> Certificate:
    """Write a certificate with its chain, and its key."""
    pem = serialization.Encoding.PEM
    file, key = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(b"".join(each.public_bytes(pem) for each in (pair[0], *more)))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(pair[1].private_bytes(pem, *form))
    return Certificate(str(file), str(key))


@pytest.mark.parametrize(
    ("address", "url"), [("127.0.0.1", "http://127.0.0.1:9292"), ("::1", "http://[::1]:9292")]
)
def test_an_address(address: str, url: str) -> None:
    """A listener's own address is the one to tell, IPv6 in brackets."""
    assert client_url(address, 9292, None) == url


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])  # noqa: S104 (nothing listens)
def test_every_address(address: str) -> None:
    """Nobody connects to a wildcard: the address of this host by which it reaches others is told."""
    host = ipaddress.ip_address(urlsplit(client_url(address, 9292, None)).hostname or "")
    assert host.version == ipaddress.ip_address(address).version
    assert not host.is_unspecified


@pytest.mark.parametrize(
    ("address", "hosts", "host"),
    [
        ("127.0.0.1", ("127.0.0.1", "images.example.org"), "127.0.0.1"),
        ("::1", ("::1",), "[::1]"),
        ("127.0.0.1", ("localhost",), "localhost"),
        ("127.0.0.1", ("192.0.2.1", "localhost"), "localhost"),
        ("127.0.0.1", ("192.0.2.1",), "127.0.0.1"),
        ("0.0.0.0", ("*.example.org", "images.example.org", "192.0.2.1"), "images.example.org"),  # noqa: S104
        ("::", ("2001:db8::7",), "[2001:db8::7]"),
    ],
)
def test_a_name_that_the_certificate_is_for(
    tmp_path: Path, address: str, hosts: tuple[str, ...], host: str
) -> None:
    """Clients can verify it, if the certificate has a name that leads to the listener."""
    certificate = stored(tmp_path, issue("server", *hosts))
    assert client_url(address, 9292, certificate) == f"https://{host}:9292"


def test_a_certificate_that_cannot_be_read(tmp_path: Path) -> None:
    """What is wrong with it is said elsewhere."""
    (tmp_path / "none.pem").write_text("none")
    for name in ("none.pem", "missing.pem"):
        certificate = Certificate(str(tmp_path / name), None)
        assert client_url("127.0.0.1", 9292, certificate) == "https://127.0.0.1:9292"
        assert authorities(certificate, "127.0.0.1", None) == (False, None)


def test_a_certificate_signed_by_itself(tmp_path: Path) -> None:
    """It is its own authority, for the hosts that it is for."""
    certificate = stored(tmp_path, issue("server", "127.0.0.1", "localhost"))
    assert authorities(certificate, "127.0.0.1", None) == (True, certificate.file)
    assert authorities(certificate, "localhost", "/missing.pem") == (True, certificate.file)
    assert authorities(certificate, "127.0.0.2", None) == (False, None)


def test_a_certificate_of_a_private_authority(tmp_path: Path) -> None:
    """The chain brings the authority, or clients know it already; else they cannot trust it."""
    authority = issue("authority")
    ours = issue("server", "127.0.0.1", by=authority)
    alone = stored(tmp_path, ours)
    assert authorities(alone, "127.0.0.1", None) == (False, None)
    known = tmp_path / "authority.pem"
    known.write_bytes(authority[0].public_bytes(serialization.Encoding.PEM))
    assert authorities(alone, "127.0.0.1", str(known)) == (True, str(known))
    whole = stored(tmp_path, ours, authority[0])
    assert authorities(whole, "127.0.0.1", None) == (True, whole.file)
