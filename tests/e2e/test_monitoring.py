"""A real Prometheus scrapes a real service as the page says, with the alerts and the board's queries."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from pages import DOCS
from processes import Api, Server, eventually, free_ports, started

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
BOARD = ROOT / "deploy/grafana/tintype.json"
TOKEN = "a-token-of-the-metrics"

pytestmark = pytest.mark.needs("promtool")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("monitored") / "data", TINTYPE_METRICS_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Start Prometheus with the configuration of the page, for this one host and each second."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(TOKEN)
    page = (DOCS / "howto/monitor.md").read_text()
    [found] = re.findall(r"```yaml\n( *scrape_configs:.*?)```", page, re.DOTALL)
    config: dict[str, Any] = yaml.safe_load(found)
    [job] = config["scrape_configs"]
    job["scrape_interval"] = "1s"
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [server.url.removeprefix("http://")]}]
    config["rule_files"] = [str(ALERTS)]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    [port] = free_ports(1)
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def query(prometheus: httpx2.Client, expression: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/query", params={"query": expression})
    assert answer.status_code == 200, answer.text
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


def is_collecting(prometheus: httpx2.Client) -> bool:
    """Say whether it took the service's metrics at least twice, as `rate` needs."""
    about = {"query": 'count_over_time(up{job="tintype"}[1m]) > 1'}
    try:
        answer = prometheus.get("/query", params=about)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200 and bool(answer.json()["data"]["result"])  # 503 while it starts


def test_rules_and_metrics_are_in_form(server: Server) -> None:
    """What `promtool` says about the alerts, their cases, and the service's metrics."""
    metrics = httpx2.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    for command, given in (
        (["check", "rules", ALERTS], ""),
        (["test", "rules", Path(__file__).with_name("alerts.yml")], ""),
        (["check", "metrics"], metrics),
    ):
        done = subprocess.run(
            ["promtool", *command], input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_board_and_alerts(server: Server, prometheus: httpx2.Client) -> None:
    """Each query of the board shows numbers; no alert fires for a service that works."""
    eventually(lambda: is_collecting(prometheus), 90)
    api = Api(server)
    with api.http:
        image = api.image()
        assert api.put(image, b"x" * 100_000).status_code == 204
        assert api.http.get(image).status_code == 200
    board = json.loads(BOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in expressions]
    without_jobs = [text for text in asked if "tintype_jobs_total" not in text]
    eventually(lambda: all(query(prometheus, text) for text in without_jobs), 90)
    for text in asked:
        query(prometheus, text)
    assert query(prometheus, "ALERTS") == []
    [group] = prometheus.get("/rules").json()["data"]["groups"]
    assert [rule for rule in group["rules"] if rule["health"] == "err"] == []
