"""Measure use cases' database calls through `db/postgres.py` and through SQLAlchemy's asynchronous engine.

    python benchmarks/engines.py [--rounds 9] [--calls 300]

Both execute the same statements on one PostgreSQL, one after the other, in turns. Shown are medians of the
rounds in microseconds a call: of time, and of this process's CPU, which is what bounds an event loop.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import peer
import sqlalchemy
from bench import WORK
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tintype.db import images, listing, schema
from tintype.db.engine import Transaction
from tintype.db.postgres import Postgres
from tintype.db.statements import WAITING, Statements
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.domain.query import Query

CALLER = Caller("user", "user", "owner")
QUERY = Query(limit=25)
Work = Callable[[Transaction, Image], Awaitable[object]]
WORKS: dict[str, Work] = {
    "show": lambda tx, image: images.get(tx, image.id, "owner"),
    "create": lambda tx, _image: images.add(tx, new_image()),
    "page": lambda tx, _image: listing.page(tx, CALLER, QUERY, None),
}


class Through:
    """A transaction of SQLAlchemy's, as use cases see one."""

    def __init__(self, connection: AsyncConnection, statements: Statements) -> None:
        self._connection = connection
        self.statement = statements.get

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Execute a statement."""
        return await self._connection.execute(statement, parameters)


def new_image() -> Image:
    """Return an image as people make them."""
    return Image(
        id=str(uuid.uuid4()),
        created_at=time.time_ns() // 1000,
        updated_at=time.time_ns() // 1000,
        name="image",
        owner="owner",
        properties={"os_distro": "debian", "hw_disk_bus": "virtio"},
        tags=("bench", "group"),
    )


async def measure(url: str, rounds: int, calls: int) -> None:
    """Take every measurement in turns, and print a row for each."""
    ours = Postgres(url, connections=4)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url),
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )
    statements = Statements(lambda _statement, _names: None, WAITING)

    @contextlib.asynccontextmanager
    async def through_sqlalchemy() -> AsyncIterator[Any]:
        async with engine.connect() as connection:
            yield Through(connection, statements)

    kept = [new_image() for _ in range(calls)]
    for image in kept:
        async with ours.write() as tx:
            await images.add(tx, image)
    ways: dict[str, Any] = {"ours": ours.read, "sqlalchemy": through_sqlalchemy}
    print(f"SQLAlchemy {sqlalchemy.__version__}, asyncpg {asyncpg.__version__}")
    for name, work in WORKS.items():
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, connect in ways.items():
                began = time.perf_counter(), time.process_time()
                for image in kept:
                    async with connect() as tx:
                        await work(tx, image)
                spent = time.perf_counter() - began[0], time.process_time() - began[1]
                taken[way].append((spent[0] / calls * 1e6, spent[1] / calls * 1e6))
        medians = [[statistics.median(each) for each in zip(*taken[way][1:], strict=True)] for way in ways]
        (time_ours, cpu_ours), (time_theirs, cpu_theirs) = medians
        print(
            f"{name}: time {time_ours:.0f} against {time_theirs:.0f} ({time_theirs / time_ours:.2f} x), "
            f"CPU {cpu_ours:.0f} against {cpu_theirs:.0f} ({cpu_theirs / cpu_ours:.2f} x)",
            flush=True,
        )
    await ours.close()
    await engine.dispose()


def main() -> None:
    """Bring a PostgreSQL up, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    with peer.postgresql(WORK / "postgresql-engines", 19295) as url:
        schema.upgrade(url)
        asyncio.run(measure(url, options.rounds, options.calls))


if __name__ == "__main__":
    main()
