"""Hostile requests as bytes, to every route of a real server: answered in words, and nothing gives way.

HOSTILE_SEED repeats a run; `benchmarks/fuzz.py` is the long one.
"""

import os
import random
from pathlib import Path

import pytest

import attacking

REQUESTS = 2500
SEED = int(os.environ.get("HOSTILE_SEED", "0")) or random.randrange(1 << 32)
GROWTH = 64 * attacking.MIB
"""Of the whole server from a warm start: what it leaves behind for each request would be many times this."""

pytestmark = [pytest.mark.e2e, pytest.mark.needs("time")]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
def test_no_request_breaks_the_server(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, workers: int
) -> None:
    """No server error but 503 with a reason, no traceback, no answer missing; data are as they were."""
    print(f"HOSTILE_SEED={SEED}")
    folder = tmp_path / "data"
    cluster = request.getfixturevalue("cluster") if kind == "postgresql" else None
    with attacking.attacked(folder, cluster, workers, SEED) as (target, run):
        run.go(REQUESTS // 2)
        warm = target.memory()
        run.go(REQUESTS // 2)
        assert run.faults == [], "\n".join(run.faults)
        assert target.memory() - warm < GROWTH
        target.check()
    assert attacking.failures_in_log(tmp_path / "data.log") == []
    assert run.sent >= REQUESTS
    assert {200, 201, 204, 400, 401, 403, 404, 405, 409} <= set(run.statuses), run.statuses
