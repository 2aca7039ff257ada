"""The socket that clients connect to."""

import errno
import functools
import socket
from collections.abc import Mapping
from typing import Any, Final

from tintype.errors import StartError

_HINTS: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: " Is Tintype running already? Another port: --port.",
    errno.EACCES: " Ports below 1024 need the capability CAP_NET_BIND_SERVICE. Another port: --port.",
    errno.EADDRNOTAVAIL: " This host has no such address; 0.0.0.0 and :: are all that it has.",
}


class Listener(socket.socket):
    """A bound socket. Pickling it to another process creates a new socket at the same address.

    So the system distributes connections evenly among the processes. On a shared socket, the process that
    wakes first accepts all that arrive at once.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Listener.at, beside_others=True), (self.family, self.getsockname())

    @classmethod
    def at(cls, family: int, address: tuple[Any, ...], *, beside_others: bool) -> "Listener":
        """Bind a socket; with `beside_others`, at an address where other processes have one."""
        listener = cls(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, beside_others)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return listener


def listen(host: str, port: int) -> Listener:
    """Open the socket before anything else is done; raises StartError if that fails."""
    host = host.removeprefix("[").removesuffix("]")  # the form of an IPv6 address in URLs
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return Listener.at(family, address, beside_others=False)
    except OSError as error:  # socket.gaierror is one
        hint = _HINTS.get(error.errno or 0, "")
        raise StartError(f"Cannot listen on {host} port {port}: {error.strerror}.{hint}") from error
