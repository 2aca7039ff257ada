"""The `tintype` command: an error is one line and a non-zero exit code."""

import sys
from typing import NoReturn


def run() -> None:
    """Run the command. Exit codes: 0 success, 1 failure, 2 invalid command line, 130 interrupt."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    from tintype.cli import streams
    from tintype.cli.commands import app
    from tintype.client.errors import ClientError
    from tintype.errors import TintypeError
    from tintype.extras import missing

    streams.prepare()
    try:
        try:
            app()
        finally:
            streams.flush()
    except BrokenPipeError:  # `| head`
        streams.discard()
        sys.exit(1)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tintype"):
            raise
        _fail(missing("This command", "server", error).message, error)
    except TintypeError as error:
        _fail(str(getattr(error, "message", error)), error)
    except ClientError as error:
        _fail(str(error), error)
    except UnicodeEncodeError as error:
        _fail(
            f"The encoding of this system ({error.encoding}) cannot write the name {error.object!a}.", error
        )
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{error.filename}: {reason}" if error.filename else reason, error)


def _fail(message: str, error: Exception) -> NoReturn:
    """Exit with a message on one line."""
    import logging

    from tintype.cli.output import one_line

    logging.getLogger(__name__).debug("The command failed.", exc_info=error)
    sys.exit(f"tintype: {one_line(message)}")
