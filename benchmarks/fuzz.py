"""Send hostile requests to real servers, a million of them by default, and report what came of it.

    python benchmarks/fuzz.py [--count 1000000] [--seed N] [--minutes 120] [--on sqlite-1,postgresql-2]

The requests are those of `tests/hostile.py`, divided among servers on SQLite and PostgreSQL with one and
with two workers. It ends with 1 if an answer is a server error but 503 with a reason, if a whole request
is not answered, if the log has a traceback, if memory grows, or if anybody's data has changed. The table
is kept under benchmarks/results; a seed repeats a run.
"""

import argparse
import collections
import contextlib
import platform
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import attacking  # noqa: E402  the tests' requests
import postgres  # noqa: E402  the tests' database
import processes  # noqa: E402  the tests' servers

processes.START_SECONDS = 300  # a long run may begin on a busy machine

SERVERS = ("sqlite-1", "sqlite-2", "postgresql-1", "postgresql-2")
GROWTH = 1.15
"""By which the memory of the last quarter may be above that of the second one, beside a few MiB."""
MIB = 1 << 20
HEAD = """\
| server | requests | a second | statuses | memory (MiB): start, quarters' medians, end | faults |
| --- | --: | --: | --- | --- | --: |"""


class Outcome(msgspec.Struct):
    """What came of the requests to one server."""

    server: str
    sent: int
    seconds: float
    statuses: dict[int, int]
    memory: list[int]
    """Resident bytes, sampled every thousand requests."""
    faults: list[str]

    def quarters(self) -> list[float]:
        """Return the median memory of each quarter of the run, in MiB."""
        size = max(1, len(self.memory) // 4)
        parts = [self.memory[at * size : (at + 1) * size] or self.memory[-1:] for at in range(4)]
        return [sorted(part)[len(part) // 2] / MIB for part in parts]

    def row(self) -> str:
        """Return a line of the table."""
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items()))
        memory = [self.memory[0] / MIB, *self.quarters(), self.memory[-1] / MIB]
        cells = [self.server, f"{self.sent:,}", f"{self.sent / self.seconds:,.0f}", statuses]
        cells += [", ".join(f"{each:.0f}" for each in memory), str(len(self.faults))]
        return f"| {' | '.join(cells)} |"


def attack(server: str, count: int, minutes: float, seed: int, folder: Path) -> Outcome:
    """Send so many requests to one server, as far as the time goes, and look at what they left behind."""
    kind, _, workers = server.partition("-")
    with contextlib.ExitStack() as stack:
        cluster = None
        if kind == "postgresql":
            cluster = postgres.Cluster()
            stack.callback(cluster.close)
        target, run = stack.enter_context(
            attacking.attacked(folder, cluster, int(workers), seed, TINTYPE_LOG_LEVEL="warning")
        )
        memory, began = [target.memory()], time.monotonic()

        def look() -> None:
            memory.append(target.memory())
            if len(memory) % 10 == 0:
                rate = run.sent / (time.monotonic() - began)
                print(f"{server}: {run.sent:,} at {rate:,.0f}/s, {memory[-1] / MIB:.0f} MiB", flush=True)

        while run.sent < count and not run.faults and time.monotonic() < began + minutes * 60:
            run.go(min(5000, count - run.sent), look)
        seconds = time.monotonic() - began
        memory.append(target.memory())
        outcome = Outcome(server, run.sent, seconds, dict(run.statuses), memory, run.faults)
        try:
            target.check()
        except AssertionError as error:
            outcome.faults.append(f"afterwards: {error}")
    outcome.faults += attacking.failures_in_log(folder.parent / f"{folder.name}.log")
    _, second, _, last = outcome.quarters()
    if last > second * GROWTH + 16:
        outcome.faults.append(f"memory grew: {second:.0f} MiB in the second quarter, {last:.0f} in the last")
    return outcome


def keep(outcomes: list[Outcome], seed: int) -> str:
    """Write the table beside where and how, and return it."""
    total, statuses = sum(each.sent for each in outcomes), collections.Counter[int]()
    for each in outcomes:
        statuses.update(each.statuses)
    server_errors = {status: count for status, count in statuses.items() if status >= 500}
    lines = [
        f"{total:,} hostile requests, seed {seed}, Python {platform.python_version()}.",
        f"Server errors: {server_errors or 'none'} (501 is for transfer codings, 503 says a reason).",
        f"Faults: {sum(len(each.faults) for each in outcomes)}.",
        "",
        HEAD,
        *(each.row() for each in outcomes),
    ]
    text = "\n".join(lines) + "\n"
    folder = ROOT / "benchmarks" / "results"
    (folder / f"{datetime.now(UTC):%Y-%m-%d}-fuzz.md").write_text(text)
    return text


def main() -> int:
    """Attack each server in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="requests in all")
    parser.add_argument("--seed", type=int, default=0, help="of an earlier run; without it, a new one")
    parser.add_argument("--minutes", type=float, default=120, help="at most, in all")
    parser.add_argument("--on", default=",".join(SERVERS), help="servers, with commas between")
    options = parser.parse_args()
    servers = options.on.split(",")
    seed = options.seed or random.randrange(1, 1 << 32)
    print(f"seed {seed}", flush=True)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="tintype-fuzz-") as scratch:
        for server in servers:
            count, minutes = options.count // len(servers), options.minutes / len(servers)
            outcome = attack(server, count, minutes, seed, Path(scratch) / server)
            outcomes.append(outcome)
            print("\n".join((outcome.row(), *outcome.faults)), flush=True)
            text = keep(outcomes, seed)
    print(text)
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
