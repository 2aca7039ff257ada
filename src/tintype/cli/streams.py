"""Standard input, output and error, whatever their state at the start."""

import contextlib
import io
import os
import sys

_MODES = {"stdin": os.O_WRONLY, "stdout": os.O_RDONLY, "stderr": os.O_RDWR}
"""Modes to replace a closed stream in: every use of standard input or output then fails."""


def prepare() -> None:
    """Make sure that every stream is open, and can print any text.

    A closed stream is replaced by one that fails when it is used, so that no file or connection gets its
    number. Characters that the terminal's encoding lacks are escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, _MODES[name])
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Flush standard output; if that fails, discard the rest and raise OSError."""
    try:
        sys.stdout.flush()
    except OSError:
        discard()
        raise


def discard() -> None:
    """Discard unwritten output, so that the interpreter does not try again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def encodes_unicode() -> bool:
    """Return whether standard output can encode every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
