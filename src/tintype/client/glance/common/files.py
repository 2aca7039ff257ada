"""Files and standard output, as the `glance` command reads and writes them."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB")


def save_image(data: Iterable[bytes], path: str | os.PathLike[str] | None) -> None:
    """Write pieces of an image to a file; to standard output for None."""
    if path is None:
        for piece in data:
            sys.stdout.buffer.write(piece)
        return
    with Path(path).open("wb") as file:
        for piece in data:
            file.write(piece)


def get_file_size(file_obj: Any) -> int | None:
    """Return how many bytes a file has in all; None for what cannot tell, such as a pipe."""
    try:
        at = file_obj.tell()
        size = int(file_obj.seek(0, os.SEEK_END))
        file_obj.seek(at)
    except (AttributeError, OSError, ValueError):
        return None
    return size


def make_size_human_readable(size: float | None) -> str:
    """Return a size in the unit that fits."""
    amount, unit = float(size or 0), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{f'{amount:.1f}'.rstrip('0').rstrip('.')}{_UNITS[unit]}"


def env(*variables: str, **kwargs: str) -> str:
    """Return the first variable of the environment that is not empty, else `default`."""
    return next((value for name in variables if (value := os.environ.get(name))), kwargs.get("default", ""))


def print_err(msg: str) -> None:
    """Print a line on standard error."""
    print(msg, file=sys.stderr)  # noqa: T201  which is what it is for


def exit(msg: str = "", exit_code: int = 1) -> NoReturn:  # noqa: A001  its name there
    """Print a line on standard error, if there is one, and end the program."""
    if msg:
        print_err(msg)
    sys.exit(exit_code)
