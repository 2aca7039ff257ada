"""`tintype image import` and what else the server does with bytes by itself."""

import contextlib
from typing import Annotated

import typer

from tintype.cli import output
from tintype.cli.image_options import Named
from tintype.cli.session import command, group
from tintype.client import errors
from tintype.client.blocking.client import Client
from tintype.client.models import Image, Task

app = group("Imports.")


@command(app, "import")
def import_(
    client: Client,
    image: Named,
    uri: Annotated[str | None, typer.Option(help="Address to fetch it from (web-download).")] = None,
    method: Annotated[
        str | None, typer.Option(help="[default: web-download with --uri, else glance-direct]")
    ] = None,
    expected_hash: Annotated[
        str | None, typer.Option(metavar="ALGORITHM:HEX", help="What it must hash to.")
    ] = None,
    remote_region: Annotated[
        str | None, typer.Option(help="Region to fetch it from (glance-download).")
    ] = None,
    remote_id: Annotated[str | None, typer.Option(help="Its id there.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Where to; can be repeated.")] = None,
    all_stores: Annotated[bool, typer.Option("--all-stores", help="Into every store.")] = False,
    allow_failure: Annotated[
        bool, typer.Option("--allow-failure", help="One of several stores may fail.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
) -> Image:
    """Have the server fetch an image's bytes, take staged ones, or copy them to other stores."""
    found = client.images.find(image)
    algorithm, _, digest = (expected_hash or "").partition(":")
    before = tasks_of(client, found)
    client.images.import_(
        found.id,
        method or ("web-download" if uri else "glance-download" if remote_region else "glance-direct"),
        uri=uri,
        expected_hash=(algorithm, digest) if expected_hash else None,
        remote_region=remote_region,
        remote_image_id=remote_id,
        stores=store or (),
        all_stores=all_stores,
        must_succeed=False if allow_failure else None,
    )
    return waited(client, found, before) if wait else client.images.get(found.id)


@command(app, "copy")
def copy(
    client: Client,
    image: Named,
    store: Annotated[list[str] | None, typer.Option(help="Where to; can be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
) -> Image:
    """Copy an image into other stores; without --store into all."""
    found = client.images.find(image)
    before = tasks_of(client, found)
    client.images.import_(found.id, "copy-image", stores=store or (), all_stores=not store)
    return waited(client, found, before) if wait else client.images.get(found.id)


@command(app, "wait")
def wait(
    client: Client,
    image: Named,
    within: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600.0,
) -> Image:
    """Wait until an image is active and nothing works on it."""
    found = client.images.find(image)
    with output.progress(f"Wait for {found.name or found.id}") as progress:
        return client.images.wait(found.id, within=within, progress=progress)


@command(app, "tasks", "id", "type", "status", "message", "created_at")
def tasks(client: Client, image: Named) -> list[Task]:
    """List what the server has done for an image."""
    return client.images.tasks(client.images.find(image).id)


def fetch(client: Client, image: Image, url: str, store: str | None, *, wait: bool) -> Image:
    """Have the server fetch a new image's bytes; where it cannot, the image is deleted again."""
    try:
        client.images.import_(image.id, "web-download", uri=url, stores=[store] if store else ())
        return waited(client, image, set()) if wait else client.images.get(image.id)
    except errors.ClientError as failure:
        with contextlib.suppress(errors.ClientError):
            if isinstance(failure, errors.HTTPError | errors.TransferFailed) and _is_empty(client, image):
                client.images.delete(image.id)
        raise


def _is_empty(client: Client, image: Image) -> bool:
    """Return whether nothing came of an import, and nothing is at work on it any more."""
    return client.images.get(image.id).status == "queued"


def tasks_of(client: Client, image: Image) -> set[str]:
    """Give what was done for an image so far; nothing where the server does not tell (before 2.12)."""
    try:
        return {task.id for task in client.images.tasks(image.id)}
    except (errors.NotFound, errors.Forbidden):
        return set()


def waited(client: Client, image: Image, before: set[str]) -> Image:
    """Wait for the end of an import; `before` are the tasks from earlier."""
    with output.progress(f"Import {image.name or image.id}") as progress:
        return client.images.wait(image.id, progress=progress, known=before)
