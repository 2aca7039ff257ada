"""A small Keystone that can stop responding, like a stopped process, and resume."""

import contextlib
import json
import socket
import threading
from types import TracebackType
from typing import Self


class FrozenServer:
    """Counts requests. While `answering` is set, it validates every token except made-up ones.

    Otherwise it accepts connections and does not respond.
    """

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v3"
        self.requests = 0
        """Requests whose head has come."""
        self.connections = 0
        self.answering = threading.Event()
        self.slow = 0.0
        """Seconds that it takes to validate a token."""
        self.unknown = "made-up"
        """What tokens begin with that it does not know, or no longer."""
        self._ended = threading.Event()
        self._lost: set[socket.socket] = set()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.answering.set()
        self.refuse()

    def freeze(self) -> None:
        """Stop responding, as if the process had been stopped."""
        self.answering.clear()

    def lose_connections(self) -> None:
        """Never respond on existing connections, as if the network had lost them."""
        self._lost = set(self._open)

    def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while line := stream.readline():
                length, token = 0, ""
                while (header := stream.readline()) not in {b"\r\n", b""}:
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    token = value.strip().decode() if name.lower() == b"x-subject-token" else token
                stream.read(length)
                self.requests += 1
                self.answering.wait()
                if b"/auth/tokens" in line:
                    self._ended.wait(self.slow)
                if connection in self._lost:
                    self._ended.wait()
                if self._ended.is_set():
                    return
                connection.sendall(self._answer(line.decode(), token))

    def _answer(self, line: str, subject: str) -> bytes:
        user = {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}}
        token = {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": user,
            "project": {"id": "p1", "name": "alpha", "domain": user["domain"]},
            "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        }
        status, body = (
            ("201 Created", {"token": token}) if line.startswith("POST") else ("200 OK", {"token": token})
        )
        if subject.startswith(self.unknown):
            status, body = "404 Not Found", {}
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Subject-Token: own\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
