"""Structured logs on standard error: JSON lines, or colours where a person looks on.

A log event is a dict passed through a list of functions; the logger is made here and passed in.
"""

import logging
import sys
from typing import Literal

import structlog


def make_logger(
    level: str, style: Literal["auto", "json", "console"]
) -> structlog.typing.FilteringBoundLogger:
    """Make the logger of a process. `level` is a name such as info."""
    human = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    return logger


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
