"""`tintype serve`: starts the image service."""

import functools
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tintype import clouds_file, data_folder, process
from tintype.configuration import load
from tintype.listener import Certificate, authorities, client_url, listen
from tintype.settings import Settings
from tintype.wiring.service import Service

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data folder of the service. [default: $TINTYPE_DATA_DIR, or ./data]",
    ),
]


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 chooses a free one. [default: 9292]")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of server processes. [default: 1]")] = None,
) -> None:
    """Start the image service. The first start in an empty folder creates everything that it needs."""
    os.umask(0o077)  # other users must not read the database, images and clouds.yaml
    read = functools.partial(_read, data_dir, host, port, workers)
    settings = read()
    listener = listen(settings.server.host, settings.server.port)
    address, bound_port = listener.getsockname()[:2]
    url = settings.server.public_url or client_url(address, bound_port, _certificate(settings))
    with data_folder.lock_data_folder(settings.data_dir):
        service = Service(settings)
        first = data_folder.prepare(service, url)
        clouds = (settings.data_dir / clouds_file.FILE).resolve()
        print(f"Tintype serves images at {url} from {settings.data_dir.resolve()}")
        if settings.dashboard.enabled:
            print(f"Dashboard: {url}/dashboard/")
        if first is not None:
            # A journal or a container's log would store the password; a terminal does not.
            secret = f"{first.password} (shown once; also" if sys.stdout.isatty() else "(readable only by you"
            print(f"First start: project {first.project}, user {first.user}, password {secret} in {clouds})")
        if settings.keystone.auth_url is not None:
            print(f"Identity: Keystone at {settings.keystone.auth_url}")
        elif clouds.exists():
            for note in _update_clouds(clouds, url, settings):
                print(f"Note: {note}")
            file = shlex.quote(str(clouds))
            print(f"Try: OS_CLIENT_CONFIG_FILE={file} openstack --os-cloud {clouds_file.CLOUD} image list")
        sys.stdout.flush()
        process.serve(service, listener, read)


def _read(data_dir: Path | None, host: str | None, port: int | None, workers: int | None) -> Settings:
    """Read the settings; each worker process does it again, with its own environment."""
    return load(data_dir, os.environ, host=host, port=port, workers=workers)


def _certificate(settings: Settings) -> Certificate | None:
    chosen = settings.server
    return None if chosen.tls_certificate is None else Certificate(chosen.tls_certificate, chosen.tls_key)


def _update_clouds(clouds: Path, url: str, settings: Settings) -> Iterator[str]:
    """Update `clouds.yaml`; yield notes on what the operator has to do."""
    cacert, certificate = clouds_file.cacert_of(clouds), _certificate(settings)
    if certificate is not None:
        host = urlsplit(url).hostname or ""
        trusted, cacert = authorities(certificate, host, cacert)
        if not trusted and settings.server.public_url is None:
            yield (
                f"clients cannot verify the certificate {certificate.file} for {host}: give them the file of "
                f"its authority (cacert in {clouds}), or a name that it is for (server.public_url)."
            )
    note = clouds_file.keep_current(clouds, url, settings.identity.region, cacert)
    if note is not None:
        yield note
