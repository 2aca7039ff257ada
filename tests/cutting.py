"""A broken network: a proxy that cuts connections at random bytes."""

import abc
import contextlib
import math
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

RESET = struct.pack("ii", 1, 0)


class Front(abc.ABC):
    """Listens on a free port, and accepts connections in a thread."""

    def __init__(self) -> None:
        self.port = 0
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()

    def _listen(self) -> None:
        """Listen on a free port, or again on the same one."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @abc.abstractmethod
    def _serve(self, client: socket.socket) -> None:
        """Handle one connection, in a thread of its own, and close it."""


class Proxy(Front):
    """Forwards connections to a server, and cuts each after a number of bytes from `chance`."""

    def __init__(self, target: tuple[str, int], chance: random.Random, mean: int, enough: float) -> None:
        """Listen. Connections are cut after about `mean` bytes, until `enough` of them were cut."""
        self._target = target
        self._chance = chance
        self._mean = mean
        self._enough = enough
        self.cuts = 0
        self.passed = 0
        self.pause = 0.0
        """Seconds for which each 64 KiB wait."""
        self.whole = False
        """Whether to let everything pass from now on."""
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        life = [int(self._chance.expovariate(1 / self._mean))]
        pairs = ((client, server), (server, client))
        passing = [threading.Thread(target=self._pass, args=(*pair, life), daemon=True) for pair in pairs]
        for thread in passing:
            thread.start()
        for thread in passing:
            thread.join()
        client.close()
        server.close()

    def _pass(self, source: socket.socket, target: socket.socket, life: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                life[0] -= len(data)
                self.passed += len(data)
                time.sleep(self.pause)
                if life[0] < 0 and not self.whole:
                    self.cuts += 1
                    if self.cuts >= self._enough:
                        self.whole = True
                    target.sendall(data[: len(data) // 2])
                    for each in (source, target):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        each.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(url: str, *, mean: int, seed: int, enough: float = math.inf) -> Iterator[Proxy]:
    """Start a proxy in front of a server."""
    host, port = url.removeprefix("http://").split(":")
    made = Proxy((host, int(port)), random.Random(seed), mean, enough)
    try:
        yield made
    finally:
        made.close()
