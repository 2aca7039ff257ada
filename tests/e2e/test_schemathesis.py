"""Requests made from the API's document, and some that it does not allow: schemathesis at a real server.

The limits of each parameter are tried in turn. SCHEMATHESIS_EXAMPLES adds so many random requests for each
operation and sequences of requests, which take minutes; SCHEMATHESIS_SEED chooses others.
"""

import collections
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from processes import BIN, BINARY, Server, started

CONFIG = Path(__file__).parent / "schemathesis.toml"
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "1"))
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
PHASES = "coverage,fuzzing,stateful" if EXAMPLES else "coverage"
IGNORED = re.compile(
    r"Invalid component: in (query|header) - object with unexpected properties$", re.MULTILINE
)
"""Parameters and headers that the document does not name are ignored, as HTTP has it."""
LEAST = 4000
"""Cases of a run at least: the limits of each parameter are always the same."""

pytestmark = pytest.mark.needs("time")


def prepare(url: str, headers: dict[str, str]) -> dict[str, str]:
    """Make images, a namespace, a project and a user; return their ids by the names that CONFIG uses."""
    with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:

        def create(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
            made: dict[str, Any] = answer.json()
            return made

        formats = {"disk_format": "raw", "container_format": "bare", "visibility": "shared"}
        queued, active = (create("/v2/images", formats)["id"] for _ in range(2))
        path = f"/v2/images/{active}/file"
        assert client.put(path, content=b"x" * 999, headers=BINARY).status_code == 204
        create("/v2/metadefs/namespaces", {"namespace": "mine"})
        project = create("/identity/v3/projects", {"project": {"name": "other"}})["project"]["id"]
        user = create("/identity/v3/users", {"user": {"name": "other"}})["user"]["id"]
    return {"QUEUED": queued, "ACTIVE": active, "PROJECT": project, "USER": user}


def run(server: Server, token: str, folder: Path) -> list[dict[str, Any]]:
    """Run schemathesis; return its scenarios."""
    known = prepare(server.url, {"X-Auth-Token": token})
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(CONFIG.parent)}
    report = folder / "report.ndjson"
    options = [
        *("--url", server.url, "--header", f"X-Auth-Token: {token}", "--phases", PHASES),
        *("--max-examples", str(max(1, EXAMPLES)), "--seed", str(SEED), "--continue-on-failure"),
        *("--request-timeout", "60", "--report", "ndjson", "--report-ndjson-path", str(report)),
    ]
    schemathesis = [str(BIN / "schemathesis"), "--config-file", str(CONFIG), "--no-color"]
    command = [*schemathesis, "run", f"{server.url}/openapi.json", *options]
    environment = {**os.environ, **hooks, **known}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, f"{done.stdout}\n{done.stderr}"
    assert " ERRORS " not in done.stdout, done.stdout
    events = [json.loads(line) for line in report.read_text().splitlines()]
    return [event["ScenarioFinished"]["recorder"] for event in events if "ScenarioFinished" in event]


def failures(scenarios: list[dict[str, Any]]) -> dict[str, str]:
    """Return an example of each kind of failure of each operation."""
    found: dict[str, str] = {}
    for scenario in scenarios:
        for case, checks in scenario.get("checks", {}).items():
            for check in checks:
                if check["status"] != "failure":
                    continue
                message = str(check["failure_info"]["failure"].get("message"))
                if not IGNORED.search(message):
                    request = scenario["interactions"].get(case, {}).get("request")
                    found.setdefault(
                        f"{scenario['label']}: {check['name']}", f"{message}\n{str(request)[:500]}"
                    )
    return found


@pytest.mark.timeout(1500)
def test_the_service_does_what_its_document_says(tmp_path: Path) -> None:
    """Statuses, media types, headers, bodies, methods, tokens: no check finds a difference, nor an error."""
    with started(tmp_path / "data", TINTYPE_CACHE_FOLDER="cache") as server:
        token = server.log_in()
        scenarios = run(server, token, tmp_path)
        alive = httpx2.get(f"{server.url}/v2/images", headers={"X-Auth-Token": token}, timeout=20)
    statuses = collections.Counter(
        (each.get("response") or {}).get("status_code")
        for scenario in scenarios
        for each in scenario.get("interactions", {}).values()
    )
    found = failures(scenarios)
    print(f"SCHEMATHESIS_SEED={SEED}: {statuses.total()} cases, {len(found)} failures, statuses {statuses}")
    assert found == {}, "\n\n".join(f"{kind}\n{example}" for kind, example in found.items())
    assert statuses.total() >= LEAST
    assert {200, 201, 204, 400, 401, 403, 404, 405, 409} <= statuses.keys()
    assert alive.status_code == 200, "its own token was revoked: later requests meant nothing"
