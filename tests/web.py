"""Web servers on loopback to download from: correct, slow and broken ones, and changing DNS names."""

import contextlib
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Handler = Callable[["Request"], None]


class Request(http.server.BaseHTTPRequestHandler):
    """One request, answered by the server's function."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers.items())))
        with contextlib.suppress(ConnectionError):
            self.server.answer(self)

    do_POST = do_GET  # noqa: N815 (the base class names it)
    do_HEAD = do_GET  # noqa: N815 (the base class names it)

    def give(self, data: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Respond with bytes; `length` replaces the true length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def redirect(self, location: str, status: int = 302) -> None:
        self.give(b"", status=status, Location=location)

    def ranged(self, data: bytes, until: int | None = None) -> None:
        """Respond like a correct server, also to ranges; stop after `until` bytes."""
        headers = {"ETag": '"v1"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[start : len(data) if until is None else max(start, until)])
            if until is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

    def drip(self, data: bytes, pause: float, length: int) -> None:
        """Respond so slowly that it never ends."""
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for at in range(length):
            self.wfile.write(data[at : at + 1])
            self.wfile.flush()
            time.sleep(pause)

    def log_message(self, *_arguments: object) -> None:
        """Do not log."""


class Server(http.server.ThreadingHTTPServer):
    """A server that answers with a function and records requests."""

    daemon_threads = True
    answer: Handler
    seen: list[tuple[str, str, dict[str, str]]]
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raise OSError for one that was reset before, which `ssl` would leave open."""
        connection, address = super().get_request()
        if self.tls is not None:
            try:
                connection.getpeername()
            except OSError:
                connection.close()
                raise
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients may be killed."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serving(answer: Handler, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve with a function, on a free port."""
    server = Server((host, 0), Request)
    server.answer, server.seen, server.tls = answer, [], tls
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def names(table: dict[str, list[list[str]]]) -> Iterator[list[str]]:
    """Make names resolve to given addresses: each lookup returns the next ones of the list."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: bytes | str | None, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in table:
            return real(host, port, *arguments, **options)
        asked.append(str(name))
        turns = table[str(name)]
        found = turns[min(asked.count(str(name)), len(turns)) - 1]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [entry for address in found for entry in real(address, port, *arguments, **options)]

    socket.getaddrinfo = resolve
    try:
        yield asked
    finally:
        socket.getaddrinfo = real
