"""Options that several commands on images have."""

import enum
from typing import Annotated, Any, Final

import typer

from tintype.client.blocking.client import Client

_AMAZON: Final = frozenset({"ami", "aki", "ari"})
"""Disk formats that stand in a container of the same name."""


class Visibility(enum.StrEnum):
    """Who may see an image."""

    private = "private"
    shared = "shared"
    community = "community"
    public = "public"


Named = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")]
Several = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")]
Seen = Annotated[Visibility | None, typer.Option(help="Who may see it.")]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="KEY=VALUE", help="A property; can be repeated."),
]
ATTRIBUTES: Final = {
    "visibility": Seen,
    "disk_format": Annotated[str | None, typer.Option(help="qcow2, raw, vmdk, iso and so on.")],
    "container_format": Annotated[str | None, typer.Option(help="bare, ova, docker and so on.")],
    "owner": Annotated[
        str | None, typer.Option(help="Name or id of the project that it belongs to: for administrators.")
    ],
    "min_disk": Annotated[int | None, typer.Option(help="GiB of disk that it needs.")],
    "min_ram": Annotated[int | None, typer.Option(help="MiB of memory that it needs.")],
    "protected": Annotated[bool | None, typer.Option("--protected/--unprotected", help="May it be deleted?")],
    "os_hidden": Annotated[bool | None, typer.Option("--hidden/--unhidden", help="Is it left out of lists?")],
}
TAGGED: Final = {
    **ATTRIBUTES,
    "tags": Annotated[list[str] | None, typer.Option("--tag", help="A tag; can be repeated.")],
}
Store = Annotated[str | None, typer.Option(help="Where its bytes shall go.")]


def completed(client: Client, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes for a new image: with the id of its owner, and a container format."""
    made = with_owner(client, attributes)
    disk_format = made.get("disk_format")
    return {"container_format": disk_format if disk_format in _AMAZON else "bare", **made}


def with_owner(client: Client, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes with the id of the project that `owner` names."""
    owner = attributes.get("owner")
    return {**attributes, "owner": client.members.find_project(owner)} if owner else attributes
