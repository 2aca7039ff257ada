"""Servers whose clock is set while they run, by libfaketime: the time of day, not the monotonic clock."""

from pathlib import Path
from typing import Any

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Clock:
    """A clock for processes that are started with its `environment`. It is correct until it is set."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)
        self.environment: dict[str, Any] = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, seconds: int) -> None:
        """Set the clock this many seconds ahead of the true time; negative values are behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)
