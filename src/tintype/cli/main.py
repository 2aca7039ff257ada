"""The `tintype` command: what goes wrong is one line and a non-zero exit."""

import os
import sys


def run() -> None:
    """Run the command: 0 is success, 1 is failure, 2 is a wrong command line, 130 an interrupt."""
    from tintype.cli.commands import app
    from tintype.client.errors import ClientError
    from tintype.errors import TintypeError
    from tintype.extras import missing

    try:
        app()
    except (TintypeError, ClientError) as error:
        sys.exit(f"tintype: {getattr(error, 'message', error) if isinstance(error, TintypeError) else error}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tintype"):
            raise
        sys.exit(f"tintype: {missing('This command', 'server', error).message}")
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"tintype: {error}")
