"""A row of the table of routes."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.responses import Response

from tintype.api.call import Call

Endpoint = Callable[[Call], Awaitable[Response]]
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Route(msgspec.Struct, frozen=True):
    """The methods of a path. An open route needs no token."""

    methods: dict[str, Endpoint]
    open: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of every response, error responses included."""
    options: dict[str, str] = {}
    """Headers of the response to OPTIONS."""

    @property
    def allow(self) -> str:
        """Return the value of the `Allow` header."""
        return ", ".join(method for method in _METHODS if method in self.methods)
