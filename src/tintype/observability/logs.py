"""Structured logs on standard error: JSON lines, or coloured text on a terminal.

A log event is a dict passed through a list of functions; the logger is created here and passed in. Messages
of libraries and of the interpreter become events, too: each line is one event.
"""

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal

import structlog

from tintype.observability.failures import without_secrets

_NAME: Final = "tintype structured"
"""Name of the standard library's logger that has the level."""


def make_logger(style: Literal["auto", "json", "console"]) -> structlog.typing.FilteringBoundLogger:
    """Return a logger, which drops events below the level of the process (`set_level`)."""
    human = style == "console" or (style == "auto" and sys.stderr.isatty())
    last: list[structlog.typing.Processor] = (
        [escape_controls, structlog.dev.ConsoleRenderer()] if human else [structlog.processors.JSONRenderer()]
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _Writer(sys.stderr),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_traceback),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    return logger


def set_level(level: str) -> None:
    """Set the level of every logger of this process; a name such as info."""
    logging.getLogger(_NAME).setLevel(level.upper())


def route_libraries(logger: structlog.typing.FilteringBoundLogger) -> None:
    """Send everything that this process writes to standard error through a structured logger.

    That is the logs of libraries, Python's warnings, and the tracebacks of threads and destructors. Libraries
    are logged from the level of warnings on: what they log below it may contain secrets.
    """
    root = logging.getLogger()
    root.handlers = [_Forward(logger)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    report = _reporter(logger)
    threading.excepthook = lambda failed: report(
        "a thread failed", failed.exc_type, failed.exc_value, failed.exc_traceback
    )
    sys.unraisablehook = lambda failed: report(
        "an exception was ignored", failed.exc_type, failed.exc_value, failed.exc_traceback
    )


def escape_controls(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    r"""Return an event without control characters, which are written as escapes such as `\x9b`.

    Other values than texts are shown by their `repr`, which escapes, too. Tracebacks keep their lines.
    """
    return {
        name: _escaped(value, kept="\n" if name == "exception" else "") if isinstance(value, str) else value
        for name, value in event.items()
    }


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """Return a traceback without credentials: errors of libraries may contain URLs."""
    return without_secrets("".join(traceback.format_exception(*exc_info)).rstrip("\n"))


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode()
        for each in text
    )


class _Writer(structlog.WriteLogger):
    """Writes lines. To structlog's `filter_by_level` it looks like the logger that has the level."""

    _holder = logging.getLogger(_NAME)
    isEnabledFor = _holder.isEnabledFor  # noqa: N815 (the standard library's name)
    getEffectiveLevel = _holder.getEffectiveLevel  # noqa: N815
    disabled = False


class _Forward(logging.Handler):
    """Forwards the logs of libraries to the structured logger."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an event."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 (arguments that do not fit: the text says more than nothing)
            message = str(record.msg)
        with contextlib.suppress(OSError):  # standard error may be on a disk that is full
            self._logger.log(
                record.levelno,
                without_secrets(message.strip()),
                source=record.name,
                exc_info=record.exc_info,
            )


def _reporter(
    logger: structlog.typing.FilteringBoundLogger,
) -> Callable[[str, type[BaseException], BaseException | None, TracebackType | None], None]:
    """Return a function that logs an uncaught exception."""

    def report(
        event: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        about: Any = (kind, error or kind(), trace)
        with contextlib.suppress(OSError):
            logger.error(event, exc_info=about)

    return report
