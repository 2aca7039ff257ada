"""Logging of why requests failed: one line per cause, and a count while it persists.

Clients learn what failed and the kind of cause; addresses, paths and texts of libraries are only logged.
"""

import asyncio
import re
from typing import Any, Final

import structlog

from tintype.errors import TintypeError

_QUIET_SECONDS: Final = 10.0
"""The time during which a logged cause is only counted."""
_MOST_CAUSES: Final = 1000
_DEEPEST: Final = 6
_LONGEST: Final = 400
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY: Final = re.compile(r"(?<=[\w/])\?[^\s'\"<>]*=[^\s'\"<>]*")

Key = tuple[str, ...]


class FailureLog:
    """Logs failures. Must be used on the event loop."""

    def __init__(
        self, log: structlog.typing.FilteringBoundLogger, *, quiet_seconds: float = _QUIET_SECONDS
    ) -> None:
        """Create it; a cause is logged once per `quiet_seconds`, with the number of its occurrences."""
        self._log = log
        self._quiet_seconds = quiet_seconds
        self._repeated: dict[Key, int] = {}

    def record(self, event: str, error: BaseException | None, **about: Any) -> None:
        """Log an event with its cause, unless the same cause was logged recently."""
        cause = _words(error)
        key = _key(event, error)
        if key not in self._repeated and len(self._repeated) >= _MOST_CAUSES:
            key = (event, "and many others")
        if key in self._repeated:
            self._repeated[key] += 1
            return
        unexpected = error if error is not None and not isinstance(error, TintypeError) else None
        self._write(event, **about, **cause, exc_info=unexpected)
        self._suppress(key, {"status": about.get("status"), **cause})

    def _suppress(self, key: Key, cause: dict[str, Any]) -> None:
        self._repeated[key] = 0
        asyncio.get_running_loop().call_later(self._quiet_seconds, self._log_repeated, key, cause)

    def _log_repeated(self, key: Key, cause: dict[str, Any]) -> None:
        repeated = self._repeated.pop(key)
        if repeated:
            self._write(key[0], **cause, repeated=repeated, seconds=self._quiet_seconds)
            self._suppress(key, cause)

    def _write(self, event: str, **about: Any) -> None:
        try:
            self._log.error(event, **about)
        except OSError:  # standard error may be on a disk that is full
            return


def cause_of(error: BaseException) -> str:
    """Return why an error was raised: its notes and its causes, without credentials."""
    parts: list[str] = []
    for number, each in enumerate(_chain(error)):
        said = [_one_line(each)] if number else []  # its own text is the message
        for part in (*said, *getattr(each, "__notes__", ())):
            if not any(part.partition(": ")[2] in known for known in parts if ": " in part):
                parts.append(part)
    return "; ".join(_clean(part) for part in dict.fromkeys(parts))


def reason_of(error: BaseException) -> str:
    """Return what failed and why, in one line for an operator."""
    cause = cause_of(error)
    message = error.message if isinstance(error, TintypeError) else _clean(_one_line(error))
    return f"{message} ({cause})" if cause else message


def _words(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {}
    message = error.message if isinstance(error, TintypeError) else _clean(_one_line(error))
    cause = cause_of(error)
    return {"reason": message, "cause": cause} if cause else {"reason": message}


def _key(event: str, error: BaseException | None) -> Key:
    """Return what distinguishes causes: types and messages, without numbers and names of blobs."""
    if error is None:
        return (event,)
    kinds = [f"{type(each).__name__} {getattr(each, 'errno', '')}" for each in _chain(error)]
    message = error.message if isinstance(error, TintypeError) else ""
    return (event, re.sub(r"[0-9a-f-]{36}|\d+", "", message), *kinds)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found and len(found) < _DEEPEST:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def _one_line(error: BaseException) -> str:
    """Return the first line of an error's text; libraries add hints and statements below it."""
    said = error.message if isinstance(error, TintypeError) else str(error)
    first = next(iter(said.strip().splitlines()), "")
    return first if isinstance(error, TintypeError) else f"{type(error).__name__}: {first}".rstrip(": ")


def without_secrets(text: str) -> str:
    """Return a text with credentials and queries removed from its URLs."""
    return _QUERY.sub("?…", _CREDENTIALS.sub("…@", text))


def _clean(text: str) -> str:
    return without_secrets(text)[:_LONGEST]
