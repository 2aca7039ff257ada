"""Load from wrk: a closed loop, each connection sends the next request when the last is answered.

wrk is written in C and takes little of the cores that it shares with what it measures. Requests are
made beforehand and sent in turn. It stops by itself after the given seconds.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

SCRIPT = """\
local wishes = {{ {wishes} }}
local number = 0
request = function()
  number = number % #wishes + 1
  local wish = wishes[number]
  return wrk.format(wish[1], wish[2], nil, wish[3])
end
done = function(summary, latency, requests)
  -- read errors do not count: uWSGI closes its connections, and what was not read is not counted either
  local errors = summary.errors
  io.write(string.format("outcome %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.write + errors.status + errors.timeout))
end
"""


class Wish(msgspec.Struct, frozen=True):
    """A request to send."""

    method: str
    path: str
    body: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What was measured: answers a second, and milliseconds that half and 99 % of them took at most."""

    rate: float
    p50: float
    p99: float
    failures: int


def run(
    port: int, headers: dict[str, str], wishes: Sequence[Wish], *, clients: int, seconds: float
) -> Outcome:
    """Send wishes in turn for some seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    lines = ", ".join(
        "{"
        + ", ".join(json.dumps(part) for part in (wish.method, wish.path, wish.body) if part is not None)
        + "}"
        for wish in wishes
    )
    options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(wishes=lines))
        script.flush()
        command = [wrk, "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", script.name, *options]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path.home(),
        )
    found = re.search(r"outcome (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    count, microseconds, p50, p99, failures = map(float, found.groups())
    return Outcome(count / microseconds * 1_000_000, p50 / 1000, p99 / 1000, int(failures))
