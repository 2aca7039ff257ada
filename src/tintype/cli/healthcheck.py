"""`tintype healthcheck`: checks the service on this machine, for containers."""

import os
import ssl
import sys
import urllib.request
from typing import Annotated

import typer

from tintype.cli.serve import DataDir
from tintype.configuration import load


def healthcheck(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="The same as for `tintype serve`.")] = None,
    port: Annotated[int | None, typer.Option(help="The same as for `tintype serve`.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Check only that the process responds, not that it can serve.")
    ] = False,
) -> None:
    """Check that the service on this machine can serve requests; exit 1 if it cannot.

    Uses the address, port and scheme in the settings. Repeat any --host or --port of `tintype serve`. The
    certificate is not verified, because it is for another name.
    """
    chosen = load(data_dir, os.environ, host=host, port=port).server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.host, chosen.host)  # noqa: S104
    scheme = "http" if chosen.tls_certificate is None else "https"
    authority = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{authority}:{chosen.port}/healthcheck{'/live' if live else ''}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=4):
            return
    except OSError as error:  # urllib.error.URLError and HTTPError are
        sys.exit(f"tintype: {url} does not answer as it should: {error}")
