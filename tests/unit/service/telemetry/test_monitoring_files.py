"""Alert rules and the Grafana board use only existing metrics, labels and routes."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import Metrics
from tests.repository import REPOSITORY

DOCKER = REPOSITORY / "docker"
OURS = re.compile(r"\b(?:clairo_[a-z_]+|process_[a-z_]+)\b")


def samples_of_a_service() -> dict[str, set[str]]:
    """Names and labels of all samples, after every metric was used once."""
    metrics = Metrics()
    metrics.count_request("POST", "/recommend", 200, 0.1)
    metrics.count_recommended(["popular"], 1, "empty_history")
    metrics.count_batch([0.1], 0.1)
    metrics.show_serving("bundle", 3, 1e9)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    board = json.loads((DOCKER / "grafana" / "clairo.json").read_text())
    of_board = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = (DOCKER / "prometheus" / "alerts.yml").read_text()
    of_rules = re.findall(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", rules, flags=re.MULTILINE)
    assert len(of_rules) == rules.count("- alert:")
    return of_board + ["".join(parts) for parts in of_rules]


def test_every_metric_in_rules_and_board_exists() -> None:
    samples = samples_of_a_service()
    named = {name for expression in expressions() for name in OURS.findall(expression)}
    assert named - samples.keys() == set()
    assert {name for name in samples if name.startswith("clairo_") and name.endswith("_total")} <= named


def test_every_label_in_rules_and_board_exists() -> None:
    labels = set().union(*samples_of_a_service().values()) | {"instance", "job"}
    for expression in expressions():
        selected = re.findall(r"([a-z_]+)=~?\"", expression)
        summed = [name.strip() for names in re.findall(r"\bby \(([^)]*)\)", expression) for name in names.split(",")]
        assert {*selected, *summed} - labels == set(), expression


def test_each_alert_has_an_action() -> None:
    rules = (DOCKER / "prometheus" / "alerts.yml").read_text()
    assert rules.count("- alert:") == rules.count("action:") == rules.count("summary:") == rules.count("severity:")
