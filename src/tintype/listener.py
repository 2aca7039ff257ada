"""The socket that clients connect to."""

import errno
import functools
import socket
from typing import Any

from tintype.errors import StartError


class Listener(socket.socket):
    """A bound socket. Sent to another process it arrives as one of its own at the same address.

    So the system deals connections out to the processes evenly. On one socket the process that wakes
    first takes all that come at once.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Listener.at, beside_others=True), (self.family, self.getsockname())

    @classmethod
    def at(cls, family: int, address: tuple[Any, ...], *, beside_others: bool) -> "Listener":
        """Bind a socket, where others of this kind are if need be."""
        listener = cls(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, beside_others)
        listener.bind(address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return listener


def listen(host: str, port: int) -> Listener:
    """Open the socket before anything else is done; raises StartError where that cannot be."""
    try:
        return Listener.at(
            socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port), beside_others=False
        )
    except OSError as error:
        hint = " Is Tintype running already? Another port: --port." if error.errno == errno.EADDRINUSE else ""
        raise StartError(f"Cannot listen on {host} port {port}: {error.strerror}.{hint}") from error
