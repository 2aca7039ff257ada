"""Standard input, output and error, in whatever state the caller left them."""

import contextlib
import io
import os
import sys


def prepare() -> None:
    """Have every stream there, and able to print any text.

    One that is closed is replaced by one that fails when it is used, so that no file or connection gets its
    number. What the terminal's encoding lacks is printed as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR if name == "stderr" else _unusable(name))
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is printed; raises OSError where that fails, and then drops it."""
    try:
        sys.stdout.flush()
    except OSError:
        discard()
        raise


def discard() -> None:
    """Drop what could not be printed, so that the end of the process does not try again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def encodes_unicode() -> bool:
    """Return whether standard output takes every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def _unusable(name: str) -> int:
    """Return the mode in which a stream cannot do what it is there for."""
    return os.O_WRONLY if name == "stdin" else os.O_RDONLY
