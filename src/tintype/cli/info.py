"""`tintype info`: a server's capabilities, and the project's usage."""

from typing import Annotated, Any

import typer

from tintype.cli.options import group
from tintype.cli.session import command
from tintype.client.blocking.client import Client
from tintype.client.models import Version

app = group("Show the server's capabilities and the project's usage.")


@command(app, "usage", "what", "usage", "limit")
def usage(client: Client) -> list[dict[str, Any]]:
    """Show the project's usage and limits: sizes in MiB; -1 means no limit."""
    found = client.info.usage().items()
    return [{"what": name, "usage": quota.usage, "limit": quota.limit} for name, quota in found]


@command(app, "versions", "id", "status")
def versions(client: Client) -> list[Version]:
    """List the API versions of the server."""
    return client.info.versions()


@command(app, "methods")
def methods(client: Client) -> list[dict[str, str]]:
    """List the import methods of the server."""
    return [{"method": method} for method in client.images.import_methods()]


@command(app, "schema")
def schema(
    client: Client, name: Annotated[str, typer.Argument(help="image, member, task, metadefs/namespace …")]
) -> dict[str, Any]:
    """Show a JSON schema."""
    return client.info.schema(name)
