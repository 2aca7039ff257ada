"""`tintype serve`: one command to a working image service."""

import functools
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tintype import process, server
from tintype.configuration import load
from tintype.listener import listen
from tintype.settings import Settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of everything that the service keeps. [default: $TINTYPE_DATA_DIR, or ./data]",
    ),
]


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one. [default: 9292]")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes. [default: 1]")] = None,
) -> None:
    """Serve images. The first start on an empty folder makes all that is needed."""
    os.umask(0o077)  # database, images and clouds.yaml are nobody else's to read
    read = functools.partial(_read, data_dir, host, port, workers)
    settings = read()
    listener = listen(settings.server.host, settings.server.port)
    address, bound_port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else {"0.0.0.0": "127.0.0.1"}.get(address, address)  # noqa: S104
    scheme = "http" if settings.server.tls_certificate is None else "https"
    url = settings.server.public_url or f"{scheme}://{shown}:{bound_port}"
    with server.only_server_of(settings.data_dir):
        first = server.prepare(settings, url)
        clouds = (settings.data_dir / server.CLOUDS).resolve()
        folder = settings.data_dir.resolve()
        print(f"Tintype serves images at {url} from {folder}")
        if settings.dashboard.enabled:
            print(f"Dashboard: {url}/dashboard/")
        if first is not None:
            print(f"First start: project {first.project}, user {first.user}, password {first.password}")
            print(f"             (shown once; also in {clouds})")
        elif (
            settings.keystone.auth_url is None
            and clouds.exists()
            and f"{url}/identity" not in clouds.read_text()
        ):
            print(f"Note: {clouds} was made for another address. For this one its auth_url is {url}/identity")
        if settings.keystone.auth_url is not None:
            print(f"Identity: Keystone at {settings.keystone.auth_url}")
        elif clouds.exists():
            print(f"Try: OS_CLIENT_CONFIG_FILE={clouds} openstack --os-cloud {server.CLOUD} image list")
        sys.stdout.flush()
        process.serve(settings, listener, read)


def _read(data_dir: Path | None, host: str | None, port: int | None, workers: int | None) -> Settings:
    return load(data_dir, os.environ, host=host, port=port, workers=workers)
