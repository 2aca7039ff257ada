"""An HTTP proxy on loopback: absolute requests, CONNECT, credentials, refusals, its own host names."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

PHRASES = {403: "Forbidden", 407: "Proxy Authentication Required", 502: "Bad Gateway"}


class Proxy:
    """A running proxy. `seen` has the requests: method, target and headers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.refuses: dict[str, int] = {}
        """Statuses by host."""
        self.credentials: str | None = None
        """What it asks for, as user:password."""
        self.names: dict[str, str] = {}
        """Addresses that it alone knows."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, for one request."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            method, target, _ = head[0].split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-1])}
            self.seen.append((method, target, headers))
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            status = self.refuses.get(parts.hostname or "")
            if self.credentials is not None:
                wanted = f"Basic {base64.b64encode(self.credentials.encode()).decode()}"
                status = status if headers.get("proxy-authorization") == wanted else 407
            if status is None:
                await self._connect(
                    method, parts.hostname or "", parts.port or 80, target, headers, reader, writer
                )
            else:
                writer.write(f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def _connect(
        self,
        method: str,
        host: str,
        port: int,
        target: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        there, here = await asyncio.open_connection(self.names.get(host, host), port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = target.removeprefix("http://").partition("/")[2]
            kept = {name: value for name, value in headers.items() if name != "proxy-authorization"}
            lines = [f"{method} /{path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
            here.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
        passing = [asyncio.create_task(_pass(*pair)) for pair in ((reader, here), (there, writer))]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for each in passing:
            each.cancel()
        here.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 20):
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def proxying() -> Iterator[Proxy]:
    """Run a proxy on a free port, in a thread."""
    proxy, ready = Proxy(), threading.Event()
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    async def run() -> None:
        nonlocal loop, stop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
