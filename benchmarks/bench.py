"""Measure Tintype and Glance side by side in one run on one machine.

    python benchmarks/bench.py [--rounds 3] [--seconds 3] [--only show,list] [--no-glance]

Both hold the same images; each measurement is taken in turns, and the medians of the rounds are
shown with their ratio. Results are kept under benchmarks/results as JSON and as a table.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import load
import msgspec
import peer

ROOT = Path(__file__).parents[1]
WORK = Path(os.environ.get("BENCH_DIR", "/tmp/tintype-bench"))
IMAGES = 1000
NAMESPACES = 200
TASKS = 25
FRESH = 200
"""Images that a measurement of members or uploads has for itself: as many requests as their limits allow."""
NOWHERE = 19492
"""The port from which tasks import an image that is not there; Glance's configuration allows it, too."""
MEMBERS_EACH = 128
UPLOADS_EACH = 32
PROCESSES = 2
"""Of either service: as many as there are cores here."""
JSON = {"Content-Type": "application/json"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
UPLOAD = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}


class Target(msgspec.Struct):
    """A service under measurement."""

    name: str
    port: int
    headers: dict[str, str]
    ids: list[str] = []


def image_body(number: int) -> str:
    """Give a record as people make them: two properties and two tags."""
    record = {
        "name": f"image {number}",
        "disk_format": "qcow2",
        "container_format": "bare",
        "os_distro": ("debian", "fedora", "windows")[number % 3],
        "hw_disk_bus": "virtio",
        "tags": ["bench", f"group-{number % 10}"],
    }
    return json.dumps(record)


def wishes(work: str, target: Target) -> tuple[dict[str, str], list[load.Wish]]:
    """Give the headers and the requests of one work."""
    if work == "show":
        return {}, [load.Wish("GET", f"/v2/images/{image_id}") for image_id in target.ids]
    if work == "patch":
        return PATCH, [
            load.Wish(
                "PATCH",
                f"/v2/images/{image_id}",
                json.dumps([{"op": "replace", "path": "/name", "value": f"renamed {number}"}]),
            )
            for number, image_id in enumerate(target.ids)
        ]
    if work == "create":
        return JSON, [load.Wish("POST", "/v2/images", image_body(number)) for number in range(1000)]
    if work == "create member":
        return JSON, [
            load.Wish("POST", f"/v2/images/{image_id}/members", json.dumps({"member": f"project-{number}"}))
            for number in range(MEMBERS_EACH)
            for image_id in target.ids
        ]
    if work == "begin upload":
        begun = [load.Wish("POST", f"/v2/images/{image_id}/uploads") for image_id in target.ids]
        return UPLOAD, begun * UPLOADS_EACH
    paths = {
        "list of 25": "/v2/images",
        "list of 1000": "/v2/images?limit=1000",
        "list by property": "/v2/images?os_distro=debian",
        "list by tag": "/v2/images?tag=group-3",
        "list by name": "/v2/images?name=image%207",
        "list of 200 namespaces": "/v2/metadefs/namespaces?limit=200",
        "page of tasks": "/v2/tasks?limit=25",
        "show a namespace": "/v2/metadefs/namespaces/bench-7",
    }
    return {}, [load.Wish("GET", paths[work])]


WORKS = (
    ("show", 8),
    ("list of 25", 8),
    ("list of 1000", 2),
    ("list by property", 8),
    ("list by tag", 8),
    ("list by name", 8),
    ("patch", 4),
    ("create", 8),
    ("list of 200 namespaces", 1),
    ("show a namespace", 8),
    ("page of tasks", 8),
    ("create member", 8),
    ("begin upload", 8),
)
CHANGES_OF_FRESH = ("create member", "begin upload")
ONLY_OURS = ("begin upload",)
BARE = ("show", "list of 25", "list of 1000", "patch", "create")
"""What the bare handler knows."""


@contextlib.contextmanager
def tintype(port: int, database: str | None = None, name: str = "tintype") -> Iterator[Target]:
    """Start Tintype as its users do: SQLite or PostgreSQL, files, the built-in identity checking tokens."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    command = Path(sys.executable).parent / "tintype"
    with (WORK / f"{name}.log").open("w") as log:
        options: list[str | Path] = ["--data-dir", folder, "--port", str(port), "--workers", str(PROCESSES)]
        environment = os.environ | {
            "TINTYPE_IMAGES_OPEN_UPLOADS": str(FRESH * UPLOADS_EACH),
            "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TINTYPE_IMPORTS_PORTS": str(NOWHERE),
        }
        environment |= {"TINTYPE_DATABASE_URL": database} if database else {}
        server = subprocess.Popen([command, "serve", *options], stdout=log, stderr=log, env=environment)
    try:
        peer.wait(f"http://127.0.0.1:{port}/healthcheck")
        password = re.search(r'password: "(.+)"', (folder / "clouds.yaml").read_text())
        assert password is not None
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": password[1]}
        scope = {"project": {"name": "admin", "domain": domain}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        login = urllib.request.Request(
            f"http://127.0.0.1:{port}/identity/v3/auth/tokens",
            json.dumps({"auth": auth}).encode(),
            headers=JSON,
        )
        with urllib.request.urlopen(login) as answer:
            token = answer.headers["X-Subject-Token"]
        yield Target("tintype", port, {"X-Auth-Token": token})
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def bare(port: int, database: str, ids: list[str]) -> Iterator[Target]:
    """Start the handler that only asks the database: the limit."""
    environment = os.environ | {"BARE_URL": database, "PYTHONPATH": str(Path(__file__).parent)}
    options = ("--port", str(port), "--workers", str(PROCESSES), "--no-access-log", "--log-level", "error")
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "bare:app", *options, "--loop", "uvloop"], env=environment
    )
    try:
        peer.wait(f"http://127.0.0.1:{port}/")
        yield Target("bare", port, {}, ids)
    finally:
        server.terminate()
        server.wait(30)


def namespace_body(number: int) -> str:
    """Give a namespace of metadata definitions of the size that shipped ones have."""
    properties = {
        f"property_{each}": {
            "title": f"Property {each}",
            "description": "What it means, in a sentence or two. " * 4,
            "type": "string",
            "enum": [f"value {value}" for value in range(10)],
        }
        for each in range(10)
    }
    types = [{"name": "OS::Glance::Image", "prefix": "hw_"}, {"name": "OS::Nova::Flavor", "prefix": "hw:"}]
    return json.dumps(
        {
            "namespace": f"bench-{number}",
            "visibility": "public",
            "display_name": f"Bench {number}",
            "properties": properties,
            "resource_type_associations": types,
        }
    )


def call(target: Target, method: str, path: str, body: str | None = None) -> Any:
    """Send one request; return what the answer has as JSON."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}{path}",
        None if body is None else body.encode(),
        {**target.headers, **JSON},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def seed(target: Target) -> None:
    """Fill a service with images, whose ids are noted, with metadata definitions, and with failed tasks."""
    target.ids += [call(target, "POST", "/v2/images", image_body(number))["id"] for number in range(IMAGES)]
    for number in range(NAMESPACES):
        call(target, "POST", "/v2/metadefs/namespaces", namespace_body(number))
    given = {
        "import_from": f"http://127.0.0.1:{NOWHERE}/none",
        "import_from_format": "raw",
        "image_properties": {"disk_format": "raw", "container_format": "bare"},
    }
    for _ in range(TASKS):
        call(target, "POST", "/v2/tasks", json.dumps({"type": "import", "input": given}))


@contextlib.contextmanager
def fresh(target: Target) -> Iterator[Target]:
    """Return the service with new images, neither shared nor uploaded to, and delete them afterwards."""
    made = [call(target, "POST", "/v2/images", image_body(number))["id"] for number in range(FRESH)]
    yield msgspec.structs.replace(target, ids=made)
    for image_id in made:
        call(target, "DELETE", f"/v2/images/{image_id}")


def measure(targets: list[Target], options: argparse.Namespace) -> dict[str, dict[str, list[load.Outcome]]]:
    """Take every measurement, the services in turns."""
    results: dict[str, dict[str, list[load.Outcome]]] = {}
    for name, clients in WORKS:
        if options.only and name not in options.only.split(","):
            continue
        for _ in range(options.rounds):
            for target in targets:
                if target.name == "bare" and name not in BARE:
                    continue
                if target.name == "glance" and name in ONLY_OURS:
                    continue
                with fresh(target) if name in CHANGES_OF_FRESH else contextlib.nullcontext(target) as given:
                    headers, requests = wishes(name, given)
                    outcome = load.run(
                        target.port,
                        {**target.headers, **headers},
                        requests,
                        clients=clients,
                        seconds=options.seconds,
                    )
                assert outcome.failures == 0, (target.name, name, outcome)
                results.setdefault(name, {}).setdefault(target.name, []).append(outcome)
        print(row(name, results[name]), flush=True)
    return results


def row(name: str, outcomes: dict[str, list[load.Outcome]]) -> str:
    """Give a line of the table."""
    rates = {
        target: statistics.median(outcome.rate for outcome in taken) for target, taken in outcomes.items()
    }
    waits = {
        target: statistics.median(outcome.p99 for outcome in taken) for target, taken in outcomes.items()
    }
    cells = [name]
    for target in ("tintype", "glance", "bare"):
        cells.append(f"{rates[target]:,.0f} /s" if target in rates else "")
        cells.append(f"{waits[target]:,.1f} ms" if target in waits else "")
    cells += [
        f"{rates['tintype'] / rates[other]:.3g} x" if other in rates else "" for other in ("glance", "bare")
    ]
    return "| " + " | ".join(cells) + " |"


def keep(results: dict[str, dict[str, list[load.Outcome]]], options: argparse.Namespace) -> None:
    """Write what was measured beside where and how."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    where = {
        "date": stamp,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "images": IMAGES,
        "processes": PROCESSES,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    document = {"where": where, "results": results}
    (folder / f"{stamp}-metadata.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    )
    lines = [HEAD, *(row(name, outcomes) for name, outcomes in results.items())]
    (folder / f"{stamp}-metadata.md").write_text("\n".join(lines) + "\n")


HEAD = """\
| work | tintype | p99 | glance | p99 | bare handler | p99 | to glance | to bare |
| --- | --: | --: | --: | --: | --: | --: | --: | --: |"""


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Give the options of every benchmark here, so that one command line does for all of them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement of records")
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of each transfer")
    parser.add_argument("--only", default="", help="works by name, with commas between")
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), default="postgresql", help="Tintype's"
    )
    parser.add_argument("--no-glance", action="store_true")
    return parser


def main() -> None:
    """Bring both up, fill them, measure, keep the results."""
    options = arguments(__doc__).parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        database = None
        if options.database == "postgresql":
            database = stack.enter_context(peer.postgresql(WORK / "postgresql-tintype", 19294))
        targets = [stack.enter_context(tintype(19292, database))]
        if not options.no_glance:
            stack.enter_context(peer.glance(WORK, 19392, PROCESSES))
            targets.append(Target("glance", 19392, dict(peer.HEADERS)))
        for target in targets:
            started = time.perf_counter()
            seed(target)
            print(f"{target.name}: {IMAGES} images in {time.perf_counter() - started:.1f} s", flush=True)
        if database is not None:
            targets.append(stack.enter_context(bare(19492, database, targets[0].ids)))
        print(HEAD, flush=True)
        results = measure(targets, options)
    if not options.no_glance and not options.only:
        keep(results, options)


if __name__ == "__main__":
    main()
