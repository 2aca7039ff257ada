"""The forms that text settings must have, beyond their type."""

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_ORIGIN: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Form(msgspec.Struct, frozen=True):
    """A description of what is allowed, and a function that rejects the rest with False or ValueError."""

    words: str
    holds: Callable[[str], object]


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        last = text.rstrip(".").rpartition(".")[2]
        return bool(_HOST.fullmatch(text)) and not last.isdecimal()
    return text.startswith("[") == text.endswith("]")


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and parts.port != 0
        and not (parts.query or parts.fragment or re.search(r"\s", text))
    )


def _is_postgres(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in {"postgres", "postgresql"} and parts.port != 0 and "#" not in text


HOST: Final = Form("an IP address or a host name, without a port", _is_host)
NETWORK: Final = Form(
    "an IP address or a network without host bits, such as 10.1.0.0/16",
    ipaddress.ip_network,
)
URL: Final = Form(
    "a URL such as https://images.example.org, without a query",
    lambda text: _is_url(text) and "@" not in urlsplit(text).netloc,
)
URL_WITH_LOGIN: Final = Form("a URL such as https://mirror.example.org/images, without a query", _is_url)
ORIGIN: Final = Form(
    "an origin as browsers send it, such as https://page.example without a path, or *",
    lambda text: text == "*" or _ORIGIN.fullmatch(text),
)
POSTGRES: Final = Form(
    "a URL such as postgresql://user@host/name, with %23 for # and %40 for @ in a password", _is_postgres
)
PATH: Final = Form("a path of a URL, such as /protected/", lambda text: re.fullmatch(r"/[^\s?#]*", text))
PREFIX: Final = Form(
    "empty, or a name with a slash at its end", lambda text: re.fullmatch(r"([^/\s].*/)?", text)
)
NAME: Final = Form("a word of letters, digits, dots, _ and -", lambda text: re.fullmatch(r"[\w.-]+", text))
BUCKET: Final = Form("the bucket's name alone, without slashes", lambda text: re.fullmatch(r"[^/\s]+", text))
CEPH_USER: Final = Form(
    "the user's name without client.", lambda text: re.fullmatch(r"(?!client\.)\S+", text)
)
BEARER: Final = Form(
    "16 letters, digits or signs or more, without spaces", lambda text: re.fullmatch(r"[!-~]{16,}", text)
)
