"""The table of names in the docs has every name of both older interfaces, and only names that are there."""

import re
from pathlib import Path

from tintype.client import Client
from tintype.client.glance.v2 import client as glance
from tintype.client.pyrax import ImageClient, ImageManager

TABLE = (Path(__file__).parents[2] / "docs" / "reference" / "client-names.md").read_text()
ROWS = [line.split("|")[1:3] for line in TABLE.splitlines() if line.startswith("| `")]


def names(cell: int) -> set[str]:
    return {name for row in ROWS for name in re.findall(r"`([\w.]+)`", row[cell])}


def test_every_name_there_is_in_the_table() -> None:
    """Methods of each controller, client and manager."""
    made = glance.Client("http://127.0.0.1:1")
    controllers = {name: each for name, each in vars(made).items() if hasattr(each, "http_client")}
    there = {
        f"{group}.{name}"
        for group, controller in controllers.items()
        for name in dir(type(controller))
        if not name.startswith("_") and name != "schema" and not (name == "model" and group != "images")
    }
    there |= {
        f"{kind.__name__}.{name}"
        for kind in (ImageClient, ImageManager)
        for name in dir(kind)
        if not name.startswith("_")
    }
    assert names(0) == there


def test_every_name_here_is_true() -> None:
    """What the table leads to exists."""
    with Client(endpoint="http://127.0.0.1:1") as client:
        for name in names(1) - {"tintype.client.Image"}:
            found: object = client
            for part in name.split("."):
                found = getattr(found, part)
