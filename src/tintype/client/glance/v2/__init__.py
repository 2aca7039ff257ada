"""Controllers of version 2."""

from tintype.client.glance.v2.client import Client

__all__ = ["Client"]
