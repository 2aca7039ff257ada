"""`tintype info`: what a server is, and what one uses of it."""

from typing import Annotated, Any

import typer

from tintype.cli.session import command, group
from tintype.client.blocking.client import Client
from tintype.client.models import Version

app = group("What the server is, and what the project uses.")


@command(app, "usage", "what", "usage", "limit")
def usage(client: Client) -> list[dict[str, Any]]:
    """Tell what the project uses and how much it may: sizes in MiB, -1 is without limit."""
    found = client.info.usage().items()
    return [{"what": name, "usage": quota.usage, "limit": quota.limit} for name, quota in found]


@command(app, "versions", "id", "status")
def versions(client: Client) -> list[Version]:
    """List the versions of the API that the server has."""
    return client.info.versions()


@command(app, "methods")
def methods(client: Client) -> list[dict[str, str]]:
    """List the import methods that the server has."""
    return [{"method": method} for method in client.images.import_methods()]


@command(app, "schema")
def schema(
    client: Client, name: Annotated[str, typer.Argument(help="image, member, task, metadefs/namespace …")]
) -> dict[str, Any]:
    """Show a JSON schema."""
    return client.info.schema(name)
