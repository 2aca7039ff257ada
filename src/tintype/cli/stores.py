"""`tintype store`: where bytes are."""

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


@command(app, "delete-copy", prints=False)
def delete_copy(
    client: Client, image: Named, store: Annotated[str, typer.Argument(help="Where to take it from.")]
) -> None:
    """Take an image's copy out of a store; not its last one."""
    client.stores.delete_copy(store, client.images.find(image).id)
