"""Options shared by the image commands."""

import enum
from typing import Annotated, Any, Final

import typer

from tintype.client.blocking.client import Client

_AMAZON: Final = frozenset({"ami", "aki", "ari"})
"""Disk formats whose container format has the same name."""


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
    typer.Option("--property", metavar="KEY=VALUE", help="Property of the image; can be repeated."),
]
ATTRIBUTES: Final = {
    "visibility": Seen,
    "disk_format": Annotated[str | None, typer.Option(help="Such as qcow2, raw, vmdk or iso.")],
    "container_format": Annotated[str | None, typer.Option(help="Such as bare, ova or docker.")],
    "owner": Annotated[
        str | None, typer.Option(help="Name or id of the owning project; for administrators.")
    ],
    "min_disk": Annotated[int | None, typer.Option(help="Minimum size of the disk to boot from, in GiB.")],
    "min_ram": Annotated[int | None, typer.Option(help="Minimum memory to boot with, in MiB.")],
    "protected": Annotated[
        bool | None, typer.Option("--protected/--unprotected", help="Protect it from deletion.")
    ],
    "os_hidden": Annotated[bool | None, typer.Option("--hidden/--unhidden", help="Hide it from lists.")],
}
TAGGED: Final = {
    **ATTRIBUTES,
    "tags": Annotated[list[str] | None, typer.Option("--tag", help="Tag of the image; can be repeated.")],
}
Store = Annotated[str | None, typer.Option(help="Store for the data.")]


def completed(client: Client, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a new image, with the id of its owner and a container format."""
    made = with_owner(client, attributes)
    disk_format = made.get("disk_format")
    return {"container_format": disk_format if disk_format in _AMAZON else "bare", **made}


def with_owner(client: Client, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes with the owner's project id in place of its name."""
    owner = attributes.get("owner")
    return {**attributes, "owner": client.members.find_project(owner)} if owner else attributes
