"""What a server is: versions, schemas, usage."""

from typing import Any

from tintype.client.models import Quota, Version
from tintype.client.requests import Reply, Request, many, model, path, whole


def versions() -> Request[list[Version]]:
    """List the versions of the API that are served, newest first."""
    return Request("GET", "/versions", many(Version, "versions"))


def schema(name: str) -> Request[dict[str, Any]]:
    """Show a JSON schema: `image`, `images`, `member`, `task`, `metadefs/namespace` and so on."""
    return Request("GET", path("v2", "schemas", *name.split("/")), whole)


def usage() -> Request[dict[str, Quota]]:
    """Tell what the caller's project uses, and how much it may: sizes in MiB, as the API has it."""
    return Request("GET", "/v2/info/usage", _usage)


def _usage(reply: Reply) -> dict[str, Quota]:
    return {name: model(Quota, value) for name, value in reply.json()["usage"].items()}
