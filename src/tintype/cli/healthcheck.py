"""`tintype healthcheck`: whether the service of this machine answers, for containers."""

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
    host: Annotated[str | None, typer.Option(help="As given to `tintype serve`.")] = None,
    port: Annotated[int | None, typer.Option(help="As given to `tintype serve`.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Only whether the process answers, not whether it can serve.")
    ] = False,
) -> None:
    """Ask the service that these settings start whether it can serve; exit 1 where it cannot.

    It is asked on this machine, at the address, port and scheme of the settings; name a host or port that
    `tintype serve` was given as an option. Its certificate is not checked: it is made for another name.
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
