"""Versions, schemas and usage."""

from typing import Any

from tintype.client.models import Quota, Version
from tintype.client.requests import Reply, Request, many, model, path, whole


def versions() -> Request[list[Version]]:
    """List the served API versions, newest first."""
    return Request("GET", "/versions", many(Version, "versions"))


def schema(name: str) -> Request[dict[str, Any]]:
    """Return a JSON schema: `image`, `images`, `member`, `task`, `metadefs/namespace` and so on."""
    return Request("GET", path("v2", "schemas", *name.split("/")), whole)


def usage() -> Request[dict[str, Quota]]:
    """Return the usage and limits of the caller's project; sizes are in MiB, as in the API."""
    return Request("GET", "/v2/info/usage", _usage)


def _usage(reply: Reply) -> dict[str, Quota]:
    return {name: model(Quota, value) for name, value in reply.json()["usage"].items()}
