"""Explanations of network failures, for the user who asked for the download.

httpcore maps errors of the operating system, TLS and HTTP to its own classes; the cause behind them tells
a closed port from a certificate that has expired.
"""

import errno
import re
import ssl
import time
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Final

import httpcore2

_CERTIFICATE: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is signed by an authority that is not trusted",
    20: "is signed by an authority that is not trusted",
    21: "comes without the certificates of its issuers",
    23: "has been revoked",
    62: "is for another host name",
    64: "is for another IP address",
}
"""By OpenSSL's X509_V_ERR numbers."""
_TRUST: Final = frozenset({18, 19, 20, 21})
"""The errors that a CA file can fix."""
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})
_SKEWED: Final = "RequestTimeTooSkewed"
"""What S3 answers if a request was signed too long before or after its own time."""
_SERVICE: Final = (
    (r"NoSuchBucket|ContainerNotFound", "its bucket does not exist"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|Unauthenticated|\bUnauthorized",
        "it does not accept the credentials in the settings",
    ),
    (
        r"AuthorizationHeaderMalformed|PermanentRedirect",
        "its bucket is not in the region of the settings",
    ),
    (
        r"AccessDenied|PermissionDenied|PermissionError|403 Forbidden",
        "the credentials in the settings do not suffice",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|InvalidCertificate",
        "its certificate is not trusted",
    ),
    (r"WRONG_VERSION_NUMBER|InvalidContentType|wrong version number", "it does not speak TLS on that port"),
    (
        r"Unable to connect to proxy|Tunnel connection failed|ProxyError",
        "the proxy does not let it be reached",
    ),
    (r"Connection ?refused|Connect call failed", "it refuses connections"),
    (
        r"gaierror|Name or service not known|NameResolution|dns error|failed to lookup",
        "its host name was not found",
    ),
    (r"TimedOut|Timeout|timed out|errno 110", "no answer in time"),
    (r"ObjectNotFound", "its Ceph configuration, user, keyring or pool was not found"),
    (r"SlowDown|ServiceUnavailable|503 Service", "it is overloaded"),
    (
        r"InternalError|InternalServerError|50[0-9] [A-Z]|HTTP 5[0-9][0-9]",
        "it failed with an internal error",
    ),
    (
        r"DiscoveryFailure|EndpointNotFound|HTTP 404",
        "nothing of that kind answers at the address in the settings",
    ),
    (r"HTTP 40[013]|HTTP 4[0-9][0-9]", "it refused the request"),
    (
        r"Connect|Disconnected|Connection|BrokenPipe|Protocol|IncompleteRead|EOF|GenericError|HTTPClientError|SSL",
        "the connection broke off",
    ),
)
"""Error names and texts of the libraries of stores and of Keystone, and their meanings."""


def service_failure(error: BaseException) -> str:
    """Return why a store or another service cannot be used. The library's text may contain secrets."""
    said = "\n".join(f"{type(cause).__name__}: {cause}" for cause in _causes(error))
    if _SKEWED in said:
        return _clock_failure(error, said)
    unknown = f"it failed in an unexpected way ({type(error).__name__})"
    return next((words for pattern, words in _SERVICE if re.search(pattern, said)), unknown)


def connection_failure(error: Exception, seconds: float) -> str:
    """Return why a TCP connection could not be made, given the timeout in seconds."""
    if isinstance(error, httpcore2.ConnectTimeout):
        return f"no connection within {seconds:.0f} s"
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused: nothing listens on that port"
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return "no route to the host"
    return "the connection failed"


def tls_failure(error: Exception, seconds: float) -> str:
    """Return why the TLS handshake failed."""
    if isinstance(error, httpcore2.ConnectTimeout):
        return f"the TLS handshake took longer than {seconds:.0f} s"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_failure(cause)
        if isinstance(cause, ssl.SSLEOFError):
            break
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return (
                "it does not speak TLS on that port, but perhaps plain HTTP: check scheme and port of the URL"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS failed: {cause.reason.lower().replace('_', ' ')}"
    return "it closed the connection during the TLS handshake"


def is_for_good(error: Exception) -> bool:
    """Return whether a TLS failure is permanent."""
    return any(
        isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError) for cause in _causes(error)
    )


def exchange_failure(error: Exception, seconds: float) -> str:
    """Return why an established connection brought no response, or an incomplete one."""
    match error:
        case httpcore2.ReadTimeout() | httpcore2.WriteTimeout():
            return f"it was silent for {seconds:.0f} s"
        case httpcore2.PoolTimeout():
            return f"no connection became free within {seconds:.0f} s"
        case httpcore2.RemoteProtocolError() if "without sending a response" in str(error):
            return "it closed the connection without an answer"
        case httpcore2.RemoteProtocolError() if "peer closed connection" in str(error):
            return "it closed the connection early"
        case httpcore2.ProtocolError():
            return "its answer is not HTTP: check scheme and port of the URL"
        case _:
            return "the connection broke off"


def status_text(status: int) -> str:
    """Return an HTTP status with its standard reason phrase, not the server's."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _clock_failure(error: BaseException, said: str) -> str:
    """Return by how much the clocks of this machine and of S3 differ, if its response contains the time."""
    answers = [getattr(cause, "response", None) for cause in _causes(error)]
    answer = next((each for each in answers if isinstance(each, dict)), {})
    stamp = re.search(r"<ServerTime>([^<]{1,40})</ServerTime>", said)
    given = answer.get("Error", {}).get("ServerTime") or (stamp[1] if stamp is not None else "")
    try:
        theirs = datetime.fromisoformat(given).timestamp()
    except ValueError:
        theirs = time.time()
    minutes = round((time.time() - theirs) / 60)
    differs = (
        f"is {abs(minutes)} minutes {'ahead of' if minutes > 0 else 'behind'}" if minutes else "differs from"
    )
    return (
        f"this machine's clock {differs} the store's, and S3 refuses requests where they differ by more than "
        "15 minutes: set both by NTP"
    )


def _certificate_failure(error: ssl.SSLCertVerificationError) -> str:
    words = _CERTIFICATE.get(error.verify_code, f"fails a check ({error.verify_message})")
    hint = "; an operator can trust it by imports.cafile" if error.verify_code in _TRUST else ""
    return f"its TLS certificate {words}{hint}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; httpcore drops the cause but leaves the context."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
