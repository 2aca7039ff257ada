"""Access rules of application credentials: the requests that a restricted token may send."""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
import re2

SERVICE: Final = "image"
_PIECE: Final = re.compile(r"\{[^}]*\}|\*\*|\*|[^{}*]+")


class AccessRule(msgspec.Struct, frozen=True):
    """One kind of request that a token may send, as the identity service describes it."""

    service: str = ""
    """A service type, such as `image`."""
    method: str = ""
    path: str = ""
    """A template: `{name}` and `*` stand for one segment, `**` for anything."""


def allowed(rules: Iterable[AccessRule], method: str, path: str) -> bool:
    """Return whether one of the rules covers a request. `path` must come from `dispatched_path`."""
    return any(
        rule.service == SERVICE and rule.method == method and _pattern(rule.path).fullmatch(path)
        for rule in rules
    )


def dispatched_path(route: str, parameters: Mapping[str, str]) -> str:
    """Return the path that a route serves, with its parameters filled in and percent-encoded.

    Rules are matched against this path, not against the client's spelling of it, so that all spellings of
    a path match the same rules.
    """
    segments = (
        quote(parameters[segment[1:-1]], safe="") if segment.startswith("{") else segment
        for segment in route.split("/")
    )
    return "/".join(segments)


@functools.lru_cache(maxsize=1024)
def _pattern(template: str) -> Any:
    """Return a template as a regular expression; an unpaired brace is ignored.

    Users write templates, so RE2 matches them, in linear time for any template.
    """
    return re2.compile("".join(map(_translated, _PIECE.findall(template))))


def _translated(piece: str) -> str:
    if piece == "**":
        return ".*"
    if piece == "*" or piece.startswith("{"):
        return "[^/]+"
    return re.escape("/".join(quote(unquote(segment), safe="") for segment in piece.split("/")))
