"""Validation of certificates and keys, with better explanations than OpenSSL's."""

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tintype.errors import StartError


def check_certificate(certificate: str | None, key: str | None, settings: tuple[str, str]) -> datetime | None:
    """Return when the certificate expires; None without one. `settings` are names for messages.

    Raises StartError with the file and what is wrong with it if the two cannot be used together.
    """
    of_certificate, of_key = settings
    if certificate is None:
        if key is not None:
            raise StartError(f"{of_key} requires server.tls_certificate.")
        return None
    leaf = _leaf(of_certificate, certificate)
    key_file = key or certificate
    secret = _key(of_certificate if key is None else of_key, key_file, beside=key is None)
    if _public(secret.public_key()) != _public(leaf.public_key()):
        raise StartError(
            f"The key in {key_file} does not belong to the first certificate in {certificate}: the server's "
            f"own certificate comes first, those of its authorities follow."
        )
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise StartError(f"OpenSSL refuses the certificate {certificate}: {reason}.") from None
    return leaf.not_valid_after_utc


def check_authorities(setting: str, path: str | None) -> None:
    """Raise StartError if a file of trusted CA certificates cannot be read."""
    if path is None:
        return
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise StartError(f"{setting}: {path} has no certificates in PEM form.") from None
    except OSError as error:
        raise StartError(f"{setting}: cannot read {path}: {error.strerror}.") from None


def _leaf(setting: str, path: str) -> x509.Certificate:
    data = _read(setting, path)
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise StartError(
            f"{setting}: {path} has no certificate in PEM form. From DER: "
            f"openssl x509 -inform DER -in {path} -out certificate.pem"
        )
    try:
        return x509.load_pem_x509_certificates(data)[0]
    except ValueError as error:
        raise StartError(f"{setting}: {path} cannot be read: {_first_line(error)}.") from None


def _key(setting: str, path: str, *, beside: bool) -> PrivateKeyTypes:
    data = _read(setting, path)
    if b"PRIVATE KEY-----" not in data:
        hint = " Set the file of the key in server.tls_key." if beside else ""
        raise StartError(f"{setting}: {path} has no private key in PEM form.{hint}")
    if b"ENCRYPTED" in data:
        raise StartError(
            f"{setting}: the key in {path} is protected by a password, which the service cannot enter. "
            f"Remove the password: openssl pkey -in {path} -out key.pem"
        )
    try:
        return load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise StartError(f"{setting}: the key in {path} cannot be read: {_first_line(error)}.") from None


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"{setting}: cannot read {path}: {error.strerror}.") from None


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
