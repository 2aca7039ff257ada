"""Measure lists of a plain member among 1,000, 100,000 and 1,000,000 images.

    python benchmarks/scale.py [--sizes 1000,1000000] [--database postgresql] [--seconds 2]

The member has the same images in each: 200 of its own, 100 shared with it, and what is public. All
others belong to projects of 50 images. So a difference is what other people's images cost. Every size
is up at once and they are asked in turn, list by list and round by round: what happens to the machine
meanwhile happens to each.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import bench
import load
import msgspec
import peer

OWN, SHARED, PUBLIC = 200, 100, 300
DISTROS = ("ubuntu",) * 5 + ("debian",) * 3 + ("fedora", "windows", "rocky", "arch")
SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
COLUMNS = {
    "images": (
        *("id", "name", "owner", "status", "visibility", "protected", "os_hidden", "disk_format"),
        *("container_format", "min_disk", "min_ram", "size", "checksum", "os_hash_algo", "os_hash_value"),
        *("properties", "tags", "stores", "created_at", "updated_at", "version"),
    ),
    "image_properties": ("image_id", "name", "value_key"),
    "image_tags": ("image_id", "tag"),
    "image_members": ("image_id", "member_id", "status", "created_at", "updated_at"),
}
BATCH = 20_000
BUFFERS = "4GB"
"""Of PostgreSQL, in each size: a share of the memory, as its manual advises, not 128 MB for laptops."""
PASSWORD = "scale-secret"


class Member(msgspec.Struct, frozen=True):
    """Who asks, and which service."""

    port: int
    headers: dict[str, str]


def rows(count: int, project: str) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """Give so many images in batches, as rows of each table.

    The member's are the same, in the same order, however many others lie between them.
    """
    mine, others = random.Random(1), random.Random(2)
    kinds = ["own"] * OWN + ["shared"] * SHARED + ["public"] * PUBLIC
    mine.shuffle(kinds)
    places = dict(zip(sorted(others.sample(range(count), len(kinds))), kinds, strict=True))
    start = 1_700_000_000_000_000
    for begin in range(0, count, BATCH):
        batch: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}
        for number in range(begin, min(begin + BATCH, count)):
            kind = places.get(number, "other")
            chance = others if kind == "other" else mine
            one(batch, number, kind, project, start + number * 1_000_000, chance)
        yield batch


def one(
    batch: dict[str, list[tuple[Any, ...]]],
    number: int,
    kind: str,
    project: str,
    at: int,
    chance: random.Random,
) -> None:
    """Add one image."""
    image = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    owner = project if kind == "own" else f"project-{number // 50}"
    visibility = {"own": "shared", "shared": "shared", "public": "public"}.get(
        kind, chance.choice(("shared", "shared", "private", "community"))
    )
    properties = {"os_distro": chance.choice(DISTROS), "hw_disk_bus": chance.choice(("virtio", "scsi"))}
    if chance.random() < 0.02:
        properties["rare"] = "yes"
    tags = sorted({f"group-{chance.randrange(100)}", chance.choice(("test", "prod"))})
    digest = f"{chance.getrandbits(128):032x}"
    status = "active" if chance.random() < 0.95 else "queued"
    size = chance.randrange(1 << 34)
    name = f"image {chance.randrange(2000)}"
    batch["images"].append(
        (
            *(image, name, owner, status, visibility, False, False),
            *(chance.choice(("qcow2", "raw", "iso")), "bare", 0, 0, size, digest, "sha512", digest * 4),
            *(_encoded(properties), _encoded(tags), '["local"]', at, at + chance.randrange(10**12), 0),
        )
    )
    batch["image_properties"] += [(image, key, value) for key, value in properties.items()]
    batch["image_tags"] += [(image, tag) for tag in tags]
    if kind == "shared":
        batch["image_members"].append((image, project, "accepted", at, at))


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def fill_postgresql(url: str, count: int, project: str) -> None:
    """Copy the rows in, past the triggers, whose tables are filled here."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET session_replication_role = replica")
    for batch in rows(count, project):
        for table, columns in COLUMNS.items():
            await connection.copy_records_to_table(table, records=batch[table], columns=columns)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


def fill_sqlite(path: Path, count: int, project: str) -> None:
    """Insert the rows; the triggers are put back afterwards."""
    database = sqlite3.connect(path)
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    for batch in rows(count, project):
        for table, columns in COLUMNS.items():
            marks = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", batch[table])
    for _, statement in triggers:
        database.execute(statement)
    database.commit()
    database.execute("ANALYZE")
    database.close()


def log_in(port: int) -> tuple[str, str]:
    """Give the member's token and project."""
    domain = {"id": "default"}
    user = {"name": "plain", "domain": domain, "password": PASSWORD}
    scope = {"project": {"name": "plain", "domain": domain}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
    url = f"http://127.0.0.1:{port}/identity/v3/auth/tokens"
    login = urllib.request.Request(url, json.dumps({"auth": auth}).encode(), bench.JSON)
    with urllib.request.urlopen(login) as answer:
        return answer.headers["X-Subject-Token"], json.load(answer)["token"]["project"]["id"]


def wishes(port: int, headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Give what is asked for: a name, and a path."""
    yield "default", "/v2/images"
    yield "default, deep marker", f"/v2/images?marker={deep(port, headers, '')}"
    for name, query in (
        ("a common property", "os_distro=ubuntu"),
        ("a rare property", "rare=yes"),
        ("a tag", "tag=group-3"),
        ("two tags", "tag=test&tag=group-7"),
        ("a name", "name=image%201314"),
        ("visibility=public", "visibility=public"),
    ):
        yield f"by {name}", f"/v2/images?{query}"
    for key in SORT_KEYS:
        yield f"sorted by {key}", f"/v2/images?sort_key={key}&sort_dir=asc"
        marker = deep(port, headers, f"sort_key={key}&sort_dir=asc")
        yield f"sorted by {key}, deep marker", f"/v2/images?sort_key={key}&sort_dir=asc&marker={marker}"


def deep(port: int, headers: dict[str, str], query: str) -> str:
    """Give the id of the 400th image of a list."""
    url = f"http://127.0.0.1:{port}/v2/images?limit=400&{query}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return str(json.load(answer)["images"][-1]["id"])


@contextlib.contextmanager
def serving(number: int, count: int, options: argparse.Namespace) -> Iterator[Member]:
    """Fill a fresh service, and give its plain member."""
    with contextlib.ExitStack() as stack:
        database = None
        if options.database == "postgresql":
            folder = bench.WORK / f"postgresql-{count}"
            database = stack.enter_context(
                peer.postgresql(folder, 19296 + number, f"shared_buffers={BUFFERS}")
            )
        name = f"tintype-{count}"
        target = stack.enter_context(bench.tintype(19292 - number, database, name))
        folder = bench.WORK / name
        subprocess.run(
            [
                *(Path(sys.executable).parent / "tintype", "user", "create", "plain", "--password", PASSWORD),
                *("--project", "plain", "--role", "member", "--data-dir", folder),
            ],
            check=True,
            env=os.environ | ({"TINTYPE_DATABASE_URL": database} if database else {}),
            stdout=subprocess.DEVNULL,
        )
        token, project = log_in(target.port)
        started = time.perf_counter()
        if database:
            asyncio.run(fill_postgresql(database, count, project))
        else:
            fill_sqlite(folder / "tintype.db", count, project)
        print(f"{count:,} images in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        yield Member(target.port, {"X-Auth-Token": token})


def measure(members: Mapping[int, Member], options: argparse.Namespace) -> dict[int, dict[str, float]]:
    """Give the p99 of each list in milliseconds, the median of the rounds, for each number of images."""
    lists = {
        count: [(name, [load.Wish("GET", path)]) for name, path in wishes(member.port, member.headers)]
        for count, member in members.items()
    }
    taken: dict[int, dict[str, list[float]]] = {count: {} for count in members}
    for number in range(options.rounds + 1):
        seconds = options.seconds if number else 0.5  # the first round is for warming up
        for turn in range(len(next(iter(lists.values())))):
            for count, member in members.items():
                name, wish = lists[count][turn]
                outcome = load.run(member.port, member.headers, wish, clients=1, seconds=seconds)
                assert not outcome.failures, name
                if number:
                    taken[count].setdefault(name, []).append(outcome.p99)
    return {
        count: {name: statistics.median(rounds) for name, rounds in found.items()}
        for count, found in taken.items()
    }


def main() -> None:
    """Measure each size, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bench.WORK.mkdir(parents=True, exist_ok=True)
    sizes = [int(size) for size in options.sizes.split(",")]
    with contextlib.ExitStack() as stack:
        members = {
            size: stack.enter_context(serving(number, size, options)) for number, size in enumerate(sizes)
        }
        taken = measure(members, options)
    lines = [
        "| p99 of a page of 25, ms | "
        + " | ".join(f"{size:,} images" for size in sizes)
        + " | last : first |",
        "| --- |" + " --: |" * (len(sizes) + 1),
    ]
    for name in taken[sizes[0]]:
        values = [taken[size][name] for size in sizes]
        ratio = values[-1] / values[0]
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + f" | {ratio:.1f} |")
    print("\n".join(lines))
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    results = bench.ROOT / "benchmarks" / "results" / f"{stamp}-scale-{options.database}"
    results.with_suffix(".md").write_text("\n".join(lines) + "\n")
    results.with_suffix(".json").write_bytes(
        msgspec.json.format(msgspec.json.encode({str(size): found for size, found in taken.items()})) + b"\n"
    )


if __name__ == "__main__":
    main()
