"""Masks tokens and passwords in the HTTP library's log records."""

import logging
import re
from typing import Final

_LOGGERS: Final = (
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)
_BYTES: Final = r"""b(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_SECRETS: Final = (
    re.compile(
        r"(b['\"](?:x-[a-z-]*token|authorization|proxy-authorization|cookie|set-cookie)['\"], )" + _BYTES,
        re.IGNORECASE,
    ),
    re.compile(r"(Illegal header value )" + _BYTES),
)
_CREDENTIALS: Final = re.compile(r"(://)[^/@\s]*@")
MASK: Final = "***"


class Masking(logging.Filter):
    """A log filter that masks secrets and passes every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask headers with secrets, and credentials in URLs."""
        message = record.getMessage()
        masked = _CREDENTIALS.sub(rf"\1{MASK}@", message)
        for secret in _SECRETS:
            masked = secret.sub(rf"\1{MASK}", masked)
        if masked != message:
            record.msg, record.args = masked, ()
        return True


def install() -> None:
    """Install the filter on the HTTP library's loggers. Can be called repeatedly."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Masking) for each in logger.filters):
            logger.addFilter(Masking())
