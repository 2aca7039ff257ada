"""Measure bytes: uploads and downloads of Tintype and Glance side by side on one disk, and their limits.

    python benchmarks/transfers.py [--rounds 3] [--size 1073741824] [--only upload,download] [--no-glance]

* upload: a client hands a file to the kernel (sendfile, cubic), so that the cores are the server's; the floor
  is `openssl md5` and `openssl sha512` of the same file side by side, alone and while it is sent to
  one who only writes it.
* download: curl to nowhere, with the CPU time that the server took; the limit is nginx with sendfile.
* import: web-download of the file from nginx, until the image is active.
* trickle: how long `show` takes while 500 clients upload 10 kB/s each.
* memory: what 32 uploads and 32 downloads at once take above idle, at their peak.
"""

import argparse
import asyncio
import contextlib
import json
import mmap
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import load
import msgspec
import peer
from bench import JSON, PROCESSES, ROOT, WORK, Target, arguments, tintype

PARALLEL = 32
TRICKLES = 500
TRICKLE_RATE = 10_000
NGINX = 19492
_TICK = os.sysconf("SC_CLK_TCK")


class Measured(msgspec.Struct, frozen=True):
    """One line: what, of whom, and the median."""

    work: str
    name: str
    value: float
    unit: str


def new_image(target: Target) -> str:
    """Make a record to upload to."""
    body = json.dumps({"name": "bytes", "disk_format": "raw", "container_format": "bare"}).encode()
    url = f"http://127.0.0.1:{target.port}/v2/images"
    with urllib.request.urlopen(urllib.request.Request(url, body, {**target.headers, **JSON})) as answer:
        return str(json.load(answer)["id"])


def delete_image(target: Target, image: str) -> None:
    """Make room."""
    url = f"http://127.0.0.1:{target.port}/v2/images/{image}"
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers=target.headers, method="DELETE")).close()
    except urllib.error.HTTPError:
        if target.name != "glance":  # whose SQLite is locked now and then: the image stays
            raise


def curl(target: Target, image: str, source: Path | None) -> list[str]:
    """Give the command that sends a file, or fetches one to nowhere."""
    headers = [word for name, value in target.headers.items() for word in ("-H", f"{name}: {value}")]
    if source:
        headers += ["-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", str(source)]
    url = f"http://127.0.0.1:{target.port}/v2/images/{image}/file"
    return ["curl", "-s", "-S", "--fail", "-o", "/dev/null", *headers, url]


def send(target: Target, image: str, source: Path) -> float:
    """PUT a file, and give the seconds until the answer was there."""
    size = source.stat().st_size
    lines = [
        f"PUT /v2/images/{image}/file HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        f"Content-Length: {size}",
    ]
    lines += ["Content-Type: application/octet-stream", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in target.headers.items()]
    started = time.perf_counter()
    with connected(target.port) as connection, source.open("rb") as file:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        sent = connection.sendfile(file)
        answer = connection.recv(65536)
    taken = time.perf_counter() - started
    assert sent == size, sent
    assert answer.split(b" ", 2)[1] == b"204", answer
    return taken


def connected(port: int) -> socket.socket:
    """Give a connection that sends as fast as it is received.

    With what Linux does unless it is told otherwise: where it is told to use BBR, the kernel paces this
    client with 17,000 timers a GiB, 0.4 CPU-seconds that no service answers for and each has to share.
    """
    connection = socket.socket()
    with contextlib.suppress(OSError):  # not allowed here: then as the machine does, which the results tell
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.connect(("127.0.0.1", port))
    return connection


def congestion_control() -> str:
    """Say how the kernel paces what the client uploads."""
    with socket.create_server(("127.0.0.1", 0)) as server, connected(server.getsockname()[1]) as connection:
        name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return name.split(b"\0")[0].decode()


def run_timed(command: list[str]) -> float:
    """Run a command, which must end well, and give the seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def processes_of(port: int) -> list[int]:
    """Give the processes that listen on a port."""
    command = ["ss", "-Hltnp", f"sport = :{port}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted({int(pid) for pid in re.findall(r"pid=(\d+)", found)})


def cpu_of(pids: list[int]) -> float:
    """Give the CPU seconds that processes have taken."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def memory_of(pids: list[int], field: str) -> int:
    """Give bytes of memory of processes: VmRSS as it is, VmHWM at its peak."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))
    return total


def floor(source: Path) -> float:
    """Hash a file as an upload must: md5 and sha512 side by side."""
    return run_timed(["sh", "-c", f'openssl md5 "{source}" & openssl sha512 "{source}"; wait'])


def hashing_beside_copy(source: Path) -> float:
    """Hash a file while it is sent to one who only writes it. No bound: it is read twice more for that."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, receiver = server.getsockname()[1], os.fork()
        if not receiver:
            try:
                receive(server, WORK / "received")
                os._exit(0)
            except BaseException:  # noqa: BLE001 (the services are the parent's to end)
                traceback.print_exc()
                os._exit(1)
    started = time.perf_counter()
    with connected(port) as connection, source.open("rb") as file:
        hashing = [
            subprocess.Popen(["openssl", name, source], stdout=subprocess.DEVNULL)
            for name in ("md5", "sha512")
        ]
        connection.sendfile(file)
    done = [process.wait() for process in hashing] + [os.waitpid(receiver, 0)[1]]
    assert not any(done), done
    return time.perf_counter() - started


def receive(server: socket.socket, to: Path) -> None:
    """Write what one connection sends, past the page cache."""
    buffer, file = mmap.mmap(-1, 2 << 20), os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT)
    with server.accept()[0] as connection:
        while count := connection.recv_into(buffer, 0, socket.MSG_WAITALL):
            assert os.write(file, memoryview(buffer)[:count]) == count
    os.fdatasync(file)
    to.unlink()


def uploads(targets: list[Target], source: Path, rounds: int) -> list[Measured]:
    """Upload in turns; the floor in the same turns."""
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        taken.setdefault("floor: openssl md5 & sha512", []).append(floor(source))
        os.sync()
        taken.setdefault("openssl beside a bare copy", []).append(hashing_beside_copy(source))
        for target in targets:
            image = new_image(target)
            os.sync()  # what one service leaves to be written is not for the next to wait for
            taken.setdefault(target.name, []).append(send(target, image, source))
            delete_image(target, image)
    size = source.stat().st_size / 1e6
    return [Measured("upload", name, size / statistics.median(each), "MB/s") for name, each in taken.items()]


def downloads(targets: list[Target], source: Path, rounds: int) -> list[Measured]:
    """Download in turns; nginx, which only copies, in the same turns."""
    rates: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    size = source.stat().st_size
    with nginx(source) as limit:
        images = {}
        for target in targets:
            images[target.name] = new_image(target)
            subprocess.run(curl(target, images[target.name], source), check=True)
        commands = {target.name: (target.port, curl(target, images[target.name], None)) for target in targets}
        commands["limit: nginx"] = (
            limit,
            ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{limit}/{source.name}"],
        )
        for _ in range(rounds + 1):
            for name, (port, command) in commands.items():
                pids = processes_of(port)
                before = cpu_of(pids)
                rates.setdefault(name, []).append(size / 1e6 / run_timed(command))
                cpus.setdefault(name, []).append((cpu_of(pids) - before) / (size / (1 << 30)))
        for target in targets:
            delete_image(target, images[target.name])
    return [
        Measured("download", name, statistics.median(each[1:]), unit)
        for unit, taken in (("MB/s", rates), ("CPU-s/GiB", cpus))
        for name, each in taken.items()
    ]


def imports(targets: list[Target], source: Path, rounds: int) -> list[Measured]:
    """Import from a web server in turns."""
    taken: dict[str, list[float]] = {}
    with nginx(source) as port:
        for _ in range(rounds):
            for target in targets:
                image = new_image(target)
                os.sync()
                taken.setdefault(target.name, []).append(
                    bring(target, image, f"http://127.0.0.1:{port}/{source.name}")
                )
                delete_image(target, image)
    size = source.stat().st_size / 1e6
    return [
        Measured("import by web-download", name, size / statistics.median(each), "MB/s")
        for name, each in taken.items()
    ]


def bring(target: Target, image: str, uri: str) -> float:
    """Import an image, and give the seconds until it was active."""
    url = f"http://127.0.0.1:{target.port}/v2/images/{image}"
    body = json.dumps({"method": {"name": "web-download", "uri": uri}}).encode()
    started = time.perf_counter()
    begin = urllib.request.Request(f"{url}/import", body, {**target.headers, **JSON}, method="POST")
    urllib.request.urlopen(begin).close()
    while True:
        with urllib.request.urlopen(urllib.request.Request(url, headers=target.headers)) as answer:
            shown = json.load(answer)
        if shown["status"] == "active":
            return time.perf_counter() - started
        assert not shown.get("os_glance_failed_import"), shown
        time.sleep(0.02)


@contextlib.contextmanager
def nginx(source: Path) -> Iterator[int]:
    """Serve the file's folder with sendfile."""
    port, folder = NGINX, Path(tempfile.mkdtemp(dir=WORK))
    conf = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}}\nhttp {{ access_log off; sendfile on;\n"
        f"server {{ listen 127.0.0.1:{port}; root {source.parent}; }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-e", str(folder / "log"), "-c", str(conf)])
    try:
        time.sleep(1)
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def trickle(target: Target) -> list[Measured]:
    """Show images while many upload slowly."""
    os.sync()  # what earlier transfers wrote
    ids = [new_image(target) for _ in range(TRICKLES)]
    shown = [load.Wish("GET", f"/v2/images/{image}") for image in ids[:100]]
    idle = load.run(target.port, target.headers, shown, clients=4, seconds=4)
    slow = subprocess.Popen(
        [sys.executable, __file__, "--trickle", str(target.port), json.dumps(target.headers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert slow.stdin is not None
    assert slow.stdout is not None
    slow.stdin.write(json.dumps(ids) + "\n")
    slow.stdin.flush()
    assert slow.stdout.readline() == "sending\n"
    busy = load.run(target.port, target.headers, shown, clients=4, seconds=8)
    slow.stdin.close()
    answered = slow.stdout.readline()
    slow.wait(60)
    print(f"trickle: {answered.strip()} uploads ended well", file=sys.stderr)
    assert busy.failures == 0
    return [
        Measured("show, nothing else", f"{target.name} p99", idle.p99, "ms"),
        Measured(f"show, {TRICKLES} uploads at {TRICKLE_RATE} B/s", f"{target.name} p99", busy.p99, "ms"),
    ]


async def send_slowly(port: int, headers: dict[str, str], ids: list[str]) -> None:
    """Upload to many images at once, until standard input ends."""
    stop = asyncio.Event()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    async def one(image: str) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"PUT /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\n{lines}"
        writer.write(
            f"{head}Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = TRICKLE_RATE // 5
        await asyncio.sleep(random.uniform(0, 0.2))  # clients are not in step
        while not stop.is_set():
            writer.write(f"{piece:x}\r\n".encode() + b"x" * piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.write(b"0\r\n\r\n")
        answer = await reader.readline()
        writer.close()
        return b" 204 " in answer

    sending = [asyncio.create_task(one(image)) for image in ids]
    await asyncio.sleep(2)
    print("sending", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    print(sum(await asyncio.gather(*sending)), flush=True)


def memory(target: Target, source: Path) -> list[Measured]:
    """Upload and download many at once, and look at the highest mark of memory."""
    pids = processes_of(target.port)
    images = [new_image(target) for _ in range(PARALLEL)]
    lines = []
    for work, sent in (("uploads", source), ("downloads", None)):
        idle = memory_of(pids, "VmRSS")
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        clients = [subprocess.Popen(curl(target, image, sent)) for image in images]
        assert [client.wait() for client in clients] == [0] * PARALLEL
        each = (memory_of(pids, "VmHWM") - idle) / PARALLEL / (1 << 20)
        lines.append(Measured(f"memory of {PARALLEL} {work} at once", f"{target.name}, each", each, "MiB"))
    for image in images:
        delete_image(target, image)
    return lines


def keep(lines: list[Measured], options: argparse.Namespace) -> None:
    """Write what was measured beside where and how."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    where = {
        "date": stamp,
        "cores": os.cpu_count(),
        "bytes": options.size,
        "rounds": options.rounds,
        "processes": PROCESSES,
        "uploads sent with": congestion_control(),
    }
    document = msgspec.json.encode({"where": where, "results": lines})
    folder = ROOT / "benchmarks" / "results"
    (folder / f"{stamp}-transfers.json").write_bytes(msgspec.json.format(document) + b"\n")
    (folder / f"{stamp}-transfers.md").write_text("\n".join([HEAD, *map(row, lines)]) + "\n")


HEAD = "| work | who | measured |\n| --- | --- | --: |"


def row(line: Measured) -> str:
    """Give a line of the table."""
    return f"| {line.work} | {line.name} | {line.value:,.{2 if line.value < 20 else 0}f} {line.unit} |"


def main() -> None:
    """Bring both up, measure, keep the results."""
    parser = arguments(__doc__)
    parser.add_argument("--trickle", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trickle:
        port, headers = options.trickle
        asyncio.run(send_slowly(int(port), json.loads(headers), json.loads(sys.stdin.readline())))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    source = WORK / "source.raw"
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={source}", "bs=1M", f"count={options.size >> 20}", "status=none"],
        check=True,
    )
    os.environ["TINTYPE_IMPORTS_ALLOWED_NETWORKS"] = "127.0.0.0/8"
    os.environ["TINTYPE_IMPORTS_PORTS"] = str(NGINX)
    os.environ["TINTYPE_IMAGES_PARALLEL_UPLOADS"] = "1000"  # trickle's, all of one project
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(tintype(19292))]
        if not options.no_glance:
            stack.enter_context(peer.glance(WORK, 19392, PROCESSES))
            targets.append(Target("glance", 19392, dict(peer.HEADERS)))
        lines: list[Measured] = []
        print(HEAD, flush=True)
        works: dict[str, Callable[[], list[Measured]]] = {
            "upload": lambda: uploads(targets, source, options.rounds),
            "download": lambda: downloads(targets, source, options.rounds),
            "import": lambda: imports(targets, source, options.rounds),
            "trickle": lambda: trickle(targets[0]),
            "memory": lambda: memory(targets[0], source),
        }
        for name, work in works.items():
            if not options.only or name in options.only.split(","):
                taken = work()
                print("\n".join(map(row, taken)), flush=True)
                lines += taken
    source.unlink()
    if not options.no_glance and not options.only:
        keep(lines, options)


if __name__ == "__main__":
    main()
