"""The dashboard, the alerts and the page on metrics say what is true: of metrics, and of each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.end_reasons import CallEnd, EndReason
from tests.harness.promtool import promtool
from tests.ledger.calls import CALL, WHOLE_CALL, record_of
from tests.metrics.figures import Scraped, metrics_of, scrape
from tests.test_readme import rows

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy" / "observability"
ALERTS = (FOLDER / "alerts.yml").read_text()
TESTS_OF_ALERTS = (FOLDER / "alerts_test.yml").read_text()
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PAGE = PROJECT / "docs" / "metrics.md"

PREFIX = "audiosocket_gw_"
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""

OTHERS = [
    events.ReplyHeld(CALL, 109.0),
    events.Interrupted(CALL, 109.0, 1, 1),
    events.AgentQueued(CALL, 109.0, "waiting"),
    events.AgentPinged(CALL, 109.0, 48.0),
    events.CallEnded(CALL, 109.0, CallEnd(EndReason.AGENT_BUSY, WebSocketClosed(3008, "busy")), 9_000, 4_000),
]


async def everything() -> Scraped:
    """Return a scrape with a series of every metric."""
    record = record_of()
    metrics = metrics_of("order_status", calls=[record])
    metrics.count_action("Ping", "ok", 0.001)
    for event in (*WHOLE_CALL, *OTHERS):
        metrics.follow(event, record)
    return await scrape(metrics)


async def metrics_and_labels() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the type and the labels of each metric of ours, by the name that is in the documents."""
    scraped = await everything()
    found = {}
    for name, type_ in scraped.types.items():
        if not name.startswith(PREFIX):
            continue
        shown = f"{name}_total" if type_ == "counter" else name
        labels = {
            label
            for (series, values) in scraped.values
            if re.fullmatch(rf"{name}(_total|_bucket|_sum|_count)?", series)
            for label, _ in values
        }
        assert labels or any(series == shown or series == f"{name}_count" for series, _ in scraped.values)
        found[shown] = (type_, frozenset(labels - {"le"}))
    return found


def series_of(metrics: dict[str, tuple[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """Return the labels of each series that Prometheus has, by its name."""
    return {
        f"{name}{suffix}": labels
        for name, (type_, labels) in metrics.items()
        for suffix in (("_bucket", "_sum", "_count") if type_ == "histogram" else ("",))
    }


def panels() -> Iterator[dict[str, Any]]:
    yield from DASHBOARD["panels"]


def expressions() -> list[str]:
    """Return what the dashboard asks, with Grafana's variables replaced as Grafana does."""
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    asked += [a["expr"] for a in DASHBOARD["annotations"]["list"] if "expr" in a]
    asked += [
        v["definition"].removeprefix("label_values(").partition(",")[0]
        for v in DASHBOARD["templating"]["list"]
        if "definition" in v
    ]
    return [
        expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$price", "0.1")
        for expression in asked
    ]


def alerts() -> dict[str, str]:
    """Return the expression of each alert."""
    found = re.findall(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", ALERTS, re.DOTALL)
    assert len(found) == ALERTS.count("- alert:")
    return dict(found)


# The page


async def test_every_metric_is_on_the_page_with_its_type_and_labels_and_no_other_is() -> None:
    documented = {
        row[0].strip("`"): (row[1], frozenset(re.findall(r"`(\w+)`", row[2])))
        for row in rows(PAGE)
        if row[0].startswith(f"`{PREFIX}")
    }
    assert documented == await metrics_and_labels()


def test_every_alert_is_on_the_page_with_its_severity_and_no_other_is() -> None:
    documented = dict(re.findall(r"^\| `([A-Z]\w+)`, (\w+) \|", PAGE.read_text(), re.MULTILINE))
    severities = re.findall(r"- alert: (\w+)\n(?:(?! +- alert).*\n)*? +labels: \{severity: (\w+)\}", ALERTS)
    assert documented == dict(severities)
    assert set(documented) == set(alerts())


def test_every_alert_says_what_to_do() -> None:
    for part in ALERTS.split("- alert: ")[1:]:
        assert re.search(
            r'summary: ".{20,}"\n +description: ".{40,}"\n +runbook: docs/metrics.md#alerts', part
        ), part
    assert "\n## Alerts\n" in PAGE.read_text()


# What they ask for


@pytest.mark.parametrize("asked", [*expressions(), *alerts().values()])
async def test_each_series_that_is_asked_for_exists_and_has_these_labels(asked: str) -> None:
    known = series_of(await metrics_and_labels())
    named = set(re.findall(rf"\b{PREFIX}\w+", asked))
    assert named <= set(known)
    labels = OF_PROMETHEUS.union(*(known[name] for name in named))
    for matched in re.findall(r"\{([^}]*)\}", asked):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matched)) <= labels
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", asked):
        assert {label.strip() for label in grouped.split(",")} <= labels


async def test_every_metric_is_shown() -> None:
    shown = {name for asked in expressions() for name in re.findall(rf"\b{PREFIX}\w+", asked)}
    metrics = await metrics_and_labels()
    not_shown = {name for name in metrics if not shown & {name, f"{name}_bucket"}}
    assert not_shown == set()


# The dashboard


def test_panels_have_their_own_ids_and_places() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    for one, other in combinations(panels(), 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} covers {other['title']}"
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


def test_the_data_source_is_the_one_that_is_chosen() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        if panel["type"] not in ("row", "text"):
            assert panel["datasource"] == chosen
            assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(panel["targets"])
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w+)", json.dumps(DASHBOARD)))
    assert used == variables == {"datasource", "instance", "price", "gateway"}


# Prometheus' own opinion


async def test_promtool_accepts_the_names_types_and_units_of_a_scrape() -> None:
    promtool("check", "metrics", cwd=PROJECT, text=(await everything()).text)


def test_promtool_accepts_the_alerts_and_the_configuration() -> None:
    promtool("check", "rules", "alerts.yml", cwd=FOLDER)
    promtool("check", "config", "prometheus.yml", cwd=FOLDER)


def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    assert set(re.findall(r'alertname="(\w+)"', TESTS_OF_ALERTS)) == set(alerts())
    promtool("test", "rules", "alerts_test.yml", cwd=FOLDER)


def test_promtool_accepts_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": asked} for number, asked in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "rules.yml", cwd=tmp_path)


def test_the_page_of_prometheus_configuration_names_the_job_that_alerts_look_for() -> None:
    assert "job_name: audiosocket-gw" in (FOLDER / "prometheus.yml").read_text()
    assert 'up{job="audiosocket-gw"}' in ALERTS


def test_without_promtool_a_test_is_skipped_or_fails_if_it_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.harness.promtool.HERE", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AUDIOSOCKET_GW_REQUIRE_PROMTOOL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs promtool"):
        promtool("--version", cwd=tmp_path)
    monkeypatch.setenv("AUDIOSOCKET_GW_REQUIRE_PROMTOOL", "1")
    with pytest.raises(pytest.fail.Exception, match="needs promtool"):
        promtool("--version", cwd=tmp_path)
