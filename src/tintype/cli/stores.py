"""`tintype store`: stores of image data."""

from pathlib import Path
from typing import Annotated

import typer

from tintype.cli.image_options import Named
from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client
from tintype.client.models import Store

app = group("Manage stores of image data.")


@command(app, "list", "id", "description", "default", "read-only")
def list_(
    client: Client,
    detail: Annotated[bool, typer.Option("--detail", help="Show details; for operators.")] = False,
) -> list[Store]:
    """List the stores."""
    return client.stores.list_detailed() if detail else client.stores.list()


@app.command("claim")
def claim(
    store: Annotated[str, typer.Argument(help="Name of a store of type file, as in the settings.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Claim it even if data is missing, or the folder has unknown files."),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder of the service. [default: $TINTYPE_DATA_DIR, or ./data]"),
    ] = None,
) -> None:
    """Bind a store to the folder in the settings, after the folder was moved or restored.

    First stop every server and worker of the database. A sample of the images' data must be in the folder.
    """
    from tintype.cli import claims  # the only command here that needs the server's dependencies

    claims.claim(data_dir, store, force=force)


@command(app, "delete-copy", prints=False)
def delete_copy(
    client: Client, image: Named, store: Annotated[str, typer.Argument(help="Store to delete the copy from.")]
) -> None:
    """Delete an image's copy from a store, unless it is the last one."""
    client.stores.delete_copy(store, client.images.find(image).id)
