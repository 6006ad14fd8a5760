"""The dashboard and the alert rules ask for what the code exports, all of it and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from pipelines.metrics import METRICS, MetricSpec
from tests.deploy.files import DEPLOY, tool

ALERTS = DEPLOY / "monitoring" / "alerts.yaml"
ALERT_TESTS = DEPLOY / "monitoring" / "alerts.test.yaml"
DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

RAY_LABELS = {"SessionName", "WorkerId", "NodeAddress"}  # Ray's own, on every series
SERIES = {series: spec for spec in METRICS.values() for series in spec.series}


def dashboard_queries() -> list[str]:
    """Every query of a panel, with Grafana's variables as Grafana fills them in."""
    return [
        target["expr"].replace("$__rate_interval", "5m").replace("$session", ".*")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


def alert_queries() -> list[str]:
    return [rule["expr"] for rule in RULES]


def nodes(query: str) -> Iterator[Any]:
    """Every node of a query's syntax tree; raises where it is no PromQL."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), found.append)
    yield from found


def metrics_of(query: str) -> set[str]:
    return {node.name for node in nodes(query) if isinstance(node, promql_parser.VectorSelector)}


def labels_of(query: str) -> set[str]:
    """Labels that a query selects or groups by."""
    found: set[str] = set()
    for node in nodes(query):
        if isinstance(node, promql_parser.VectorSelector):
            found |= {matcher.name for matcher in node.matchers.matchers}
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found |= set(node.modifier.labels)
    return found


@pytest.mark.parametrize("query", [*dashboard_queries(), *alert_queries()])
def test_every_metric_and_label_that_is_asked_for_is_exported(query: str) -> None:
    used = metrics_of(query)
    assert used
    assert used <= SERIES.keys()
    exported = {label for name in used for label in SERIES[name].labels}
    assert labels_of(query) <= exported | RAY_LABELS | {"le"}


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_every_exported_metric_is_on_the_dashboard_and_in_an_alert(spec: MetricSpec) -> None:
    for queries in (dashboard_queries(), alert_queries()):
        assert any(set(spec.series) & metrics_of(query) for query in queries)


@pytest.mark.parametrize("query", [*dashboard_queries(), *alert_queries()])
def test_counters_are_read_as_rates_and_gauges_are_not(query: str) -> None:
    for node in nodes(query):
        if isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase"):
            (of,) = node.args
            assert SERIES[of.vector_selector.name].kind in ("counter", "histogram")
    counters = {name for name in metrics_of(query) if SERIES[name].kind != "gauge"}
    if counters:
        assert re.search(r"\b(rate|increase)\(", query)


def test_a_name_that_nobody_exports_is_found() -> None:
    assert not metrics_of("sum(rate(ray_augment_imagse_per_second[5m]))") <= SERIES.keys()


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "action"}


def test_every_alert_is_raised_in_a_test_of_promtools() -> None:
    raised = {
        case["alertname"]
        for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert raised == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("arguments", [["check", "rules", str(ALERTS)], ["test", "rules", str(ALERT_TESTS)]])
def test_promtool_takes_the_rules_and_its_tests_of_them_pass(arguments: list[str]) -> None:
    ran = subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboard_loads_in_any_grafana_with_any_prometheus() -> None:
    assert DASHBOARD["uid"] == "ray-augment"
    assert "id" not in DASHBOARD, "Grafana numbers what it imports"
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            used = set(re.findall(r"\$(?!__)(\w+)", target["expr"]))
            assert used <= variables


def test_no_two_panels_of_the_dashboard_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
