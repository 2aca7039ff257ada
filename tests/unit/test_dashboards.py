"""The Grafana board and the alerts ask for metrics and labels that the service has."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tintype.observability.metrics import Metrics

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "deploy/grafana/tintype.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
ROUTES = (ROOT / "docs/reference/routes.md").read_text()
PAGE = ROOT / "docs/howto/monitor.md"
LABELS_OF_PROMETHEUS = {"instance", "job", "le"}


def samples() -> dict[str, set[str]]:
    """Return each sample that the service exports, with its labels."""
    metrics = Metrics()
    metrics.requests.labels("GET", "/v2/images", 200).inc()
    metrics.seconds.labels("GET", "/v2/images").observe(1)
    metrics.jobs.labels("import", "success").inc()
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def expressions() -> list[str]:
    board, alerts = json.loads(BOARD.read_text()), yaml.safe_load(ALERTS.read_text())
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return drawn + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", expressions())
def test_metrics_exist(expression: str) -> None:
    """A metric, label or route that does not exist would draw an empty panel and never alert."""
    known = samples()
    for name, selector in re.findall(r'\b(tintype_\w+)(?:\{((?:[^}"]|"[^"]*")*)\})?', expression):
        assert name in known
        labels = set(re.findall(r'(\w+)=~?"', selector))
        assert labels <= known[name] | LABELS_OF_PROMETHEUS
        for route in re.findall(r'route="([^"]*)"', selector):
            assert f"{route}`" in ROUTES
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        used = {label.strip() for label in grouped.split(",")}
        assert used <= set().union(*known.values()) | LABELS_OF_PROMETHEUS


def test_every_metric_is_documented_and_drawn() -> None:
    """The page names each metric; the board or an alert uses it."""
    text = PAGE.read_text()
    used = "".join(expressions())
    for name in samples():
        if name.startswith("tintype_") and not name.endswith("_created"):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert f"`{family}`" in text
            assert family in used
