"""A client for image services: Tintype and any Glance. It does not need the server's dependencies.

    from tintype.client import Client

    with Client(cloud="tintype") as client:
        image = client.images.push("disk.qcow2")
        for image in client.images.list(visibility="public"):
            print(image.id, image.name, image.properties)

`AsyncClient` has the same methods as coroutines. `tintype.client.glance` and `tintype.client.pyrax` have the
interfaces of two older clients.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tintype.client import errors as errors
    from tintype.client.aio.client import AsyncClient as AsyncClient
    from tintype.client.blocking.client import Client as Client
    from tintype.client.models import Image as Image

_WHERE: Final = {
    "AsyncClient": "tintype.client.aio.client",
    "Client": "tintype.client.blocking.client",
    "Image": "tintype.client.models",
}
__all__ = ["AsyncClient", "Client", "Image", "errors"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that importing this package is fast."""
    if name == "errors":
        return importlib.import_module("tintype.client.errors")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
