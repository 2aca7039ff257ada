"""`tintype image import`, `copy`, `wait` and `tasks`: work that the server does in the background."""

import contextlib
from typing import Annotated

import typer

from tintype.cli import output
from tintype.cli.image_options import Named
from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client import errors
from tintype.client.blocking.client import Client
from tintype.client.models import Image, Task

app = group("Imports.")


@command(app, "import")
def import_(
    client: Client,
    image: Named,
    uri: Annotated[str | None, typer.Option(help="URL to download from (web-download).")] = None,
    method: Annotated[
        str | None, typer.Option(help="[default: web-download with --uri, else glance-direct]")
    ] = None,
    expected_hash: Annotated[
        str | None, typer.Option(metavar="ALGORITHM:HEX", help="Expected digest of the data.")
    ] = None,
    remote_region: Annotated[
        str | None, typer.Option(help="Region to download from (glance-download).")
    ] = None,
    remote_id: Annotated[str | None, typer.Option(help="Id of the image in that region.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Store to import into; can be repeated.")] = None,
    all_stores: Annotated[bool, typer.Option("--all-stores", help="Import into every store.")] = False,
    allow_failure: Annotated[
        bool, typer.Option("--allow-failure", help="Succeed even if some of several stores fail.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the import has ended.")] = True,
) -> Image:
    """Import an image's data: from a URL, from staged data, from another region, or from another store."""
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
    return wait_for_import(client, found, before) if wait else client.images.get(found.id)


@command(app, "copy")
def copy(
    client: Client,
    image: Named,
    store: Annotated[list[str] | None, typer.Option(help="Store to import into; can be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the import has ended.")] = True,
) -> Image:
    """Copy an image to other stores; without --store, to all of them."""
    found = client.images.find(image)
    before = tasks_of(client, found)
    client.images.import_(found.id, "copy-image", stores=store or (), all_stores=not store)
    return wait_for_import(client, found, before) if wait else client.images.get(found.id)


@command(app, "wait")
def wait(
    client: Client,
    image: Named,
    within: Annotated[float, typer.Option(help="Maximum seconds to wait.")] = 3600.0,
) -> Image:
    """Wait until an image is active and none of its tasks is running."""
    found = client.images.find(image)
    with output.progress(f"Wait for {found.name or found.id}") as progress:
        return client.images.wait(found.id, within=within, progress=progress)


@command(app, "tasks", "id", "type", "status", "message", "created_at")
def tasks(client: Client, image: Named) -> list[Task]:
    """List the tasks of an image."""
    return client.images.tasks(client.images.find(image).id)


def fetch(client: Client, image: Image, url: str, store: str | None, *, wait: bool) -> Image:
    """Import a new image's data from a URL; delete the image if that fails."""
    try:
        client.images.import_(image.id, "web-download", uri=url, stores=[store] if store else ())
        return wait_for_import(client, image, set()) if wait else client.images.get(image.id)
    except errors.ClientError as failure:
        with contextlib.suppress(errors.ClientError):
            told = isinstance(failure, errors.HTTPError | errors.TransferFailed)
            if told and client.images.get(image.id).status == "queued":  # no data, and no import is running
                client.images.delete(image.id)
        raise


def tasks_of(client: Client, image: Image) -> set[str]:
    """Return the ids of an image's tasks; empty if the server does not list them (before 2.12)."""
    try:
        return {task.id for task in client.images.tasks(image.id)}
    except (errors.NotFound, errors.Forbidden):
        return set()


def wait_for_import(client: Client, image: Image, before: set[str]) -> Image:
    """Wait until an import has ended; `before` are the ids of earlier tasks."""
    with output.progress(f"Import {image.name or image.id}") as progress:
        return client.images.wait(image.id, progress=progress, known=before)
