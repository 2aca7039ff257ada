"""A gateway that restarts: it cuts every connection after some bytes, and refuses new ones for a while."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from cutting import RESET, Front


class Gateway(Front):
    """Forwards connections to a server, and restarts once after a number of response bytes."""

    def __init__(self, target: tuple[str, int], after: int, seconds: float) -> None:
        self._target = target
        self._left = after
        self._seconds = seconds
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.restarts = 0
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        self._open |= {client, server}
        for source, target, counts in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._pass, args=(source, target, counts), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counts:
                    self._left -= len(data)
                    if self._left < 0 and self._is_first():
                        self._restart()
                        return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _is_first(self) -> bool:
        with self._lock:
            self.restarts += 1
            return self.restarts == 1

    def _restart(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.shutdown(socket.SHUT_RDWR)
        time.sleep(self._seconds)
        self._listen()


@contextlib.contextmanager
def restarting(url: str, *, after: int, seconds: float) -> Iterator[Gateway]:
    """Start a gateway in front of a server."""
    host, port = url.removeprefix("http://").split(":")
    made = Gateway((host, int(port)), after, seconds)
    try:
        yield made
    finally:
        made.close()
