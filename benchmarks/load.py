"""A small closed-loop load: each client sends the next request when the last is answered.

It speaks HTTP/1.1 over a socket with bytes made beforehand, so that it takes little of the cores
that it shares with the server it measures. Loops are bounded in count and in time.
"""

import asyncio
import itertools
import time
from collections.abc import Callable

import msgspec

Maker = Callable[[int], bytes]


class Outcome(msgspec.Struct, frozen=True):
    """What was measured: answers a second, and milliseconds that half and 99 % of them took at most."""

    rate: float
    p50: float
    p99: float
    failures: int


async def run(port: int, make: Maker, *, clients: int, seconds: float, most: int = 100_000) -> Outcome:
    """Send requests for some seconds, `most` of them at the most."""
    numbers = iter(range(most))
    times: list[float] = []
    failures = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            started = time.perf_counter()
            if started > end:
                break
            writer.write(make(number))
            try:
                status, keep = await read_answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):  # uWSGI may close without saying so
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(make(number))
                status, keep = await read_answer(reader)
            times.append(time.perf_counter() - started)
            failures += status >= 400
            if not keep:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - begun
    times.sort()
    return Outcome(
        rate=len(times) / took,
        p50=times[len(times) // 2] * 1000,
        p99=times[int(len(times) * 0.99)] * 1000,
        failures=failures,
    )


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer; give its status and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in itertools.islice(lines, 1, None) if b": " in line)
    length = int(headers.get(b"content-length", b"0"))
    if length:
        await reader.readexactly(length)
    return int(lines[0].split()[1]), headers.get(b"connection") != b"close"


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Make the bytes of a request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body or method in {"POST", "PATCH", "PUT"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
