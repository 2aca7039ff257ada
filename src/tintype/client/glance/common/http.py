"""What controllers send with, and a way to have one without controllers."""

from typing import Any

from tintype.client.glance.sending import HTTPClient, Response
from tintype.client.glance.v2.client import Client

__all__ = ["HTTPClient", "Response", "get_http_client"]


def get_http_client(endpoint: str | None = None, session: Any = None, **kwargs: Any) -> HTTPClient:
    """Make what sends, without controllers, of a session or of an endpoint and its `token`.

    The keywords are those of `glance.v2.client.Client`. Raises AttributeError for neither.
    """
    return Client(endpoint, session=session, **kwargs).http_client
