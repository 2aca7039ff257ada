"""Certificates for loopback servers, self-signed or signed by a test authority."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority. Clients that load `file` trust it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority of the tests")])
        made = self._builder(self._name, self._key.public_key(), 0).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def context(self, name: str = "127.0.0.1", *, since: int = 0, by_itself: bool = False) -> ssl.SSLContext:
        """Return a server context whose certificate is for a name and two days, from `since` days on."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if name.replace(".", "").isdigit():
            names = [x509.IPAddress(ipaddress.ip_address(name))]
        builder = self._builder(subject, key.public_key(), since, issuer=subject if by_itself else self._name)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        file = self._folder / f"{name}-{since}-{by_itself}.pem"
        signed = builder.sign(key if by_itself else self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(_pem(signed) + private)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context

    @staticmethod
    def _builder(
        subject: x509.Name, key: ec.EllipticCurvePublicKey, since: int, issuer: x509.Name | None = None
    ) -> x509.CertificateBuilder:
        begin = dt.datetime.now(dt.UTC) + (since * _DAY) - dt.timedelta(minutes=5)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + 2 * _DAY)
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
