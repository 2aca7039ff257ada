"""Measure clients side by side against one Tintype: ours, python-glanceclient and openstacksdk.

    python benchmarks/clients.py [--rounds 5] [--images 10000] [--size 1073741824]

Each measurement is a process of its own, so that its peak memory is its own; logins are not counted.
The server shares the cores with the client, so trust the ratios.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tintype.client import AsyncClient

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import processes  # noqa: E402  the tests' server

FORMATS = "disk_format='raw', container_format='bare'"
BEGIN = {
    "tintype": "from tintype.client import Client\nc = Client(cloud='tintype')\nlogin = c.project_id",
    "glanceclient": "import openstack\nfrom glanceclient import Client\n"
    "s = openstack.connect(cloud='tintype').session\nc = Client('2', session=s)\nlogin = s.get_token",
    "openstacksdk": "import openstack\nc = openstack.connect(cloud='tintype')\nlogin = c.authorize",
}
LIST = {
    "tintype": "n = sum(1 for _ in c.images.list(limit=1000))",
    "glanceclient": "n = sum(1 for _ in c.images.list(page_size=1000))",
    "openstacksdk": "n = sum(1 for _ in c.image.images(limit=1000))",
}
UPLOAD = {
    "tintype": f"i = c.images.create('up', {FORMATS}); c.images.upload(i.id, file)",
    "glanceclient": f"i = c.images.create(name='up', {FORMATS}); c.images.upload(i.id, open(file, 'rb'))",
    "openstacksdk": f"i = c.image.create_image('up', filename=file, allow_duplicates=True, {FORMATS})",
}
DOWNLOAD = {
    "tintype": "c.images.download(image, target)",
    "glanceclient": "f = open(target, 'wb')\nfor p in c.images.data(image): f.write(p)\nf.close()",
    "openstacksdk": "c.image.download_image(image, output=target)",
}
IMPORT = {
    "tintype": "from tintype.client import Client",
    "glanceclient": "from glanceclient import Client",
    "openstacksdk": "import openstack",
}
MEASURE = """
import sys, time
image, file, target = sys.argv[1:]
{begin}
login()
began = time.perf_counter()
{work}
took = time.perf_counter() - began
print(took)
"""
PEAK = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)\n"
IMPORTING = """
import time
began = time.perf_counter()
{work}
print(time.perf_counter() - began)
"""


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=1 << 30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as scratch:
        folder = Path(scratch)
        file = folder / "file.raw"
        subprocess.run(["head", "-c", str(options.size), "/dev/urandom"], stdout=file.open("wb"), check=True)
        with processes.started(folder / "data") as server:
            os.environ |= {"OS_CLIENT_CONFIG_FILE": str(server.clouds)}
            image = asyncio.run(fill(options.images, file))
            lines = measure(options, folder, image, file)
    text = table(options, lines)
    print(text)
    results = ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-clients"
    results.with_suffix(".md").write_text(text)
    results.with_suffix(".json").write_text(json.dumps(lines, indent=2) + "\n")


async def fill(count: int, file: Path) -> str:
    """Make images to list, and one to download."""
    async with AsyncClient(cloud="tintype") as client:
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                await client.images.create(f"image-{number}", os_distro="debian", number=str(number))

        await asyncio.gather(*(some() for _ in range(8)))
        return (await client.images.push(file)).id


def measure(
    options: argparse.Namespace, folder: Path, image: str, file: Path
) -> list[dict[str, str | float]]:
    """Ask each client in turn, round by round; medians."""
    lines: list[dict[str, str | float]] = []
    works = {"import": IMPORT, f"list {options.images}": LIST, "upload": UPLOAD, "download": DOWNLOAD}
    for work, by_client in works.items():
        found: dict[str, list[list[float]]] = {name: [] for name in by_client}
        clients = list(by_client.items())
        for number in range(options.rounds):
            turn = number % len(clients)
            for name, code in (*clients[turn:], *clients[:turn]):  # who comes first has the coldest memory
                target = folder / "target.raw"
                shutil.copy(file, target)  # memory that was given back to a host is slow to come by again
                target.unlink()
                script = IMPORTING if work == "import" else MEASURE
                text = script.format(begin=BEGIN[name], work=code) + PEAK
                ran = [sys.executable, "-W", "ignore", "-c", text, image, str(file), str(target)]
                done = subprocess.run(ran, capture_output=True, text=True, check=True)
                found[name].append([float(each) for each in done.stdout.split()])
                target.unlink(missing_ok=True)
                time.sleep(0.5)
        for name, runs in found.items():
            seconds, memory = (statistics.median(each) for each in zip(*runs, strict=True))
            lines.append({"work": work, "client": name, "seconds": seconds, "MiB": memory})
            print(lines[-1], file=sys.stderr)
    return lines


def table(options: argparse.Namespace, lines: list[dict[str, str | float]]) -> str:
    """Give a Markdown table."""
    head = (
        f"# Clients, {datetime.now(UTC):%Y-%m-%d}\n\nMedians of {options.rounds}; bytes are "
        f"{options.size >> 20} MiB; one Tintype on the same two cores; memory is the peak of the process.\n\n"
        "| work | client | seconds | MiB |\n| --- | --- | --: | --: |\n"
    )
    rows = (f"| {e['work']} | {e['client']} | {e['seconds']:.3f} | {e['MiB']:.0f} |\n" for e in lines)
    return head + "".join(rows)


if __name__ == "__main__":
    main()
