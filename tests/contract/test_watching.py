"""Dashboards and alerts name what exists: metrics, labels, services and runbook pages."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.generate.alerts import RUNBOOKS as RUNBOOKS_URL
from deploy.generate.alerts import rules_with
from deploy.generate.metrics_doc import entries, exported
from services.roles import PORTS

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs/runbooks"
# Metrics that Prometheus itself adds to each target.
OF_PROMETHEUS = {"up"}
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
FUNCTIONS = (
    "abs absent count deriv group histogram_quantile increase label_replace last_over_time max min rate sum"
    " time vector"
)
WORDS = {*FUNCTIONS.split(" "), "by", "on", "or", "and", "unless", "without", "ignoring"}


def names_in(promql: str) -> set[str]:
    """Return the metrics in an expression: the words that are no label, function or matched value."""
    bare = re.sub(r"\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)", " ", promql)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - WORDS


def labels_in(promql: str) -> set[tuple[str, str]]:
    """Return metric and label of each matcher."""
    found = set()
    for metric, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", promql):
        found |= {(metric, label) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)}
    return found


def panels() -> list[tuple[str, str, str]]:
    """Return dashboard, panel and expression of each panel target."""
    return [
        (path.stem, panel["title"], target["expr"])
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """Return the metrics that real processes export. Each service's app is imported in its own process."""
    found = set[str]()
    for service in PORTS:
        code = f"import services.{service}.app, prometheus_client as p; print(p.generate_latest().decode())"
        page = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout
        for family in text_string_to_metric_families(page.decode()):
            suffixes = {
                "counter": ["_total"],
                "histogram": ["_bucket", "_sum", "_count"],
            }.get(family.type, [""])
            found |= {family.name + suffix for suffix in suffixes}
    return found


def test_dashboards_and_alerts_name_only_metrics_that_processes_expose(exposed: set[str]) -> None:
    named = {(where, name) for *place, expr in panels() for where in place[:1] for name in names_in(expr)}
    named |= {(rule["alert"], name) for rule in RULES for name in names_in(rule["expr"])}
    unknown = {(where, name) for where, name in named if name not in exposed | OF_PROMETHEUS}
    assert not unknown, f"these name a metric that nobody exposes: {sorted(unknown)}"


def test_a_metric_that_is_none_is_found_in_an_expression(exposed: set[str]) -> None:
    promql = 'sum by (stage) (rate(fastcore_leeds_total{stage="x"}[5m])) / fastcore_spool_leads'
    assert names_in(promql) - exposed == {"fastcore_leeds_total"}


def test_expressions_match_only_labels_that_the_metric_has() -> None:
    known = {exported(metric): set(metric._labelnames) for _, metric, _ in entries()}
    known |= {f"{name}_bucket": labels | {"le"} for name, labels in known.items()}
    of_targets = {"namespace", "job", "instance"}
    for where, _, expr in [*panels(), *((rule["alert"], "", rule["expr"]) for rule in RULES)]:
        for metric, label in labels_in(expr):
            if metric.startswith("fastcore_") and not metric.endswith(("_sum", "_count")):
                assert label in known[metric] | of_targets, f"{where}: {metric} has no label {label}"


def test_every_metric_of_the_catalogue_is_on_a_dashboard() -> None:
    shown = " ".join(expr for _, _, expr in panels())
    missing = [exported(metric) for _, metric, _ in entries() if exported(metric) not in shown]
    assert not missing, f"nobody would see these: {missing}"


def test_metrics_are_documented_and_have_no_personal_labels() -> None:
    for _, metric, comment in entries():
        assert comment, f"{exported(metric)} has no comment"
        assert not {"lead_id", "email", "request_id", "correlation_id", "url", "path"} & set(
            metric._labelnames
        )


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_provisioned(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert dashboard["uid"] == f"fastcore-{path.stem}"
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["datasources"][0]["uid"]}


def test_every_alert_has_severity_summary_runbook_and_tests() -> None:
    tested = yaml.safe_load((ROOT / "deploy/prometheus/alerts_test.yml").read_text())["tests"]
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS_URL}/{rule['alert']}"
        fires = [
            bool(t["exp_alerts"])
            for c in tested
            for t in c["alert_rule_test"]
            if t["alertname"] == rule["alert"]
        ]
        assert set(fires) == {True, False}, f"{rule['alert']} needs a test that fires and one that does not"
    assert {rule["alert"] for rule in RULES} == {page.stem for page in RUNBOOKS.glob("*.md")}


def test_links_to_runbooks_are_absolute_and_may_lead_elsewhere() -> None:
    assert RUNBOOKS_URL.startswith("http://localhost:8000/admin/")  # the edge of compose and of `make up`
    rules = rules_with("https://wiki.example/fastcore/")
    assert rules.count("runbook_url: https://wiki.example/fastcore/") == len(RULES)
    assert "localhost" not in rules


def test_each_installation_has_its_own_alerts_and_dashboards() -> None:
    for rule in RULES:
        for labels in re.findall(r"\b(?:max|min|sum|group)\s*(?:by \(([^)]*)\))?\s*\(", rule["expr"]):
            assert labels.startswith("namespace"), f"{rule['alert']} mixes installations"
    for where, title, expr in panels():
        for metric, matchers in re.findall(r"\b(fastcore_\w+|process_\w+|up)\b(\{[^}]*\})?", expr):
            assert 'namespace="$namespace"' in matchers, f"{where}, {title}: {metric} mixes installations"
    for path in DASHBOARDS:
        (first, *_) = json.loads(path.read_text())["templating"]["list"]
        assert first["definition"] == "label_values(fastcore_build_info, namespace)"


def test_jobs_have_names_that_no_other_product_uses() -> None:
    texts = [rule["expr"] for rule in RULES] + [path.read_text() for path in DASHBOARDS]
    matchers = [value for text in texts for value in re.findall(r'\bjob=~?\\?"([^"\\]*)', text)]
    assert matchers
    assert all(value.startswith("fastcore-") for value in matchers)


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_to_do_and_greps_for_lines_that_are_logged(page: Path) -> None:
    text = page.read_text()
    for title in ("What it means", "Look here first", "What to do", "When it clears"):
        assert f"\n## {title}\n" in text
    source = "\n".join(
        path.read_text() for folder in ("runtime", "services") for path in (ROOT / folder).rglob("*.py")
    )
    for pattern in re.findall(r"grep (?:-E )?(?:'([^']+)'|(\w+))", text):
        for word in "".join(pattern).split("|"):
            assert word in source, f"{page.stem} greps for {word!r}, which nobody logs"


def test_prometheus_scrapes_every_service_at_its_port() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = {
        (job["job_name"], each["names"][0], each["port"])
        for job in config["scrape_configs"]
        for each in job["dns_sd_configs"]
    }
    assert targets == {(f"fastcore-{name}", name, port) for name, port in PORTS.items()}
    for job in config["scrape_configs"]:
        assert job["relabel_configs"] == [{"target_label": "namespace", "replacement": "fastcore"}]
