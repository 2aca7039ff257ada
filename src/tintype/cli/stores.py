"""`tintype store`: where bytes are."""

from pathlib import Path
from typing import Annotated

import typer

from tintype.cli.image_options import Named
from tintype.cli.session import command, group
from tintype.client.blocking.client import Client
from tintype.client.models import Store

app = group("Stores: where bytes are.")


@command(app, "list", "id", "description", "default", "read-only")
def list_(
    client: Client,
    detail: Annotated[bool, typer.Option("--detail", help="With what operators may know.")] = False,
) -> list[Store]:
    """List stores."""
    return client.stores.list_detailed() if detail else client.stores.list()


@app.command("claim")
def claim(
    store: Annotated[str, typer.Argument(help="Name of a store of type file, as in the settings.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where bytes are missing, or files are there that are not ours."),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder of the service. [default: $TINTYPE_DATA_DIR, or ./data]"),
    ] = None,
) -> None:
    """Say that the folder of the settings is this store's now: after it was moved or restored.

    Stop every server and worker of the database before. A sample of the images' bytes is looked for there.
    """
    from tintype.cli import claims  # the only command here that needs the server's parts

    claims.claim(data_dir, store, force=force)


@command(app, "delete-copy", prints=False)
def delete_copy(
    client: Client, image: Named, store: Annotated[str, typer.Argument(help="Where to take it from.")]
) -> None:
    """Take an image's copy out of a store; not its last one."""
    client.stores.delete_copy(store, client.images.find(image).id)
