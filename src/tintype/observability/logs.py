"""Structured logs on standard error: JSON lines, or colours where a person looks on.

A log event is a dict passed through a list of functions; the logger is made here and passed in.
"""

import logging
import sys
from typing import Final, Literal

import structlog

_NAME: Final = "tintype structured"
"""Of the standard library's logger that holds the level."""


def make_logger(style: Literal["auto", "json", "console"]) -> structlog.typing.FilteringBoundLogger:
    """Return a logger. It drops events below the level of the process, see `set_level`."""
    human = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _Writer(sys.stderr),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    return logger


def set_level(level: str) -> None:
    """Set the level of every logger of this process; a name such as info."""
    logging.getLogger(_NAME).setLevel(level.upper())


class _Writer(structlog.WriteLogger):
    """Writes lines. To structlog's `filter_by_level` it looks like the logger that holds the level."""

    _holder = logging.getLogger(_NAME)
    isEnabledFor = _holder.isEnabledFor  # noqa: N815 (the standard library's name)
    getEffectiveLevel = _holder.getEffectiveLevel  # noqa: N815
    disabled = False


class _Forward(logging.Handler):
    """Hands what a library logs to our logger."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Say it in our form."""
        try:
            self._logger.log(
                record.levelno, record.getMessage(), source=record.name, exc_info=record.exc_info
            )
        except Exception:  # noqa: BLE001 (a log that fails must not fail what it tells of)
            self.handleError(record)


def adopt(name: str, logger: structlog.typing.FilteringBoundLogger) -> None:
    """Let what a library logs under a name come out like everything else."""
    library = logging.getLogger(name)
    library.handlers = [_Forward(logger)]
    library.propagate = False
    library.setLevel(logging.WARNING)
