"""The shipped alerts and the dashboard ask for metrics that are really printed, and fire when they should."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.grafana import faults
from tests.cli.program import DAY, NOW, REPOSITORY, InProcess

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = REPOSITORY / "examples/monitoring"
RULES = FOLDER / "pkigen.rules.yml"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
_METRIC = re.compile(r"\b(?:x509|pkigen)_[a-z_0-9]+")
_LABEL = re.compile(r"\$labels\.([A-Za-z_]+)")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    return [*(rule["expr"] for rule in rules()), *asked, *variables]


SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: home}
spec:
  kubernetesVersion: v1.36.2
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
  users:
    - {name: ci, kind: ServiceAccount, namespace: ci, uid: 8f0a6d0e-1c3b-4a52-9a37-0d1f5b1c9e77}
"""


@pytest.fixture
def metrics(pkigen: InProcess, tree: Path) -> str:
    return pkigen("status", "-C", tree, "-o", "prometheus").out


def test_they_ask_for_what_is_printed(metrics: str) -> None:
    printed = {family.name: family.samples for family in text_string_to_metric_families(metrics)}
    # Which is there with a token only.
    known = {*printed, "pkigen_token_not_after"}
    for expression in expressions():
        found = set(_METRIC.findall(expression))
        assert found, expression
        assert found <= known, expression
    labels = {name for samples in printed.values() for sample in samples for name in sample.labels} | {"id"}
    told = {
        name for rule in rules() for text in rule["annotations"].values() for name in _LABEL.findall(text)
    }
    assert told <= labels


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert {"type", "title", "description", "datasource", "targets", "fieldConfig", "options"} <= set(
            panel
        )
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, "panels lie over one another"
        assert max(x for x, _ in own) < 24
        cells |= own
    assert {each["name"] for each in DASHBOARD["templating"]["list"]} == {"datasource", "cluster"}


def test_the_dashboard_is_as_grafana_has_it() -> None:
    """By the schema that Grafana Labs publishes, and by the control: what must be found is found."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed")
    assert faults(DASHBOARD) == []
    wrong = copy.deepcopy(DASHBOARD)
    wrong["refersh"] = "5m"
    wrong["schemaVersion"] = "39"
    wrong["templating"]["list"][1]["refresh"] = 7
    wrong["panels"][0]["options"]["colorMode"] = "backgrund"
    wrong["panels"][0]["targets"][0]["instnat"] = True
    wrong["panels"][1]["gridPos"]["w"] = "6"
    wrong["panels"][4]["options"]["showHeder"] = True
    wrong["panels"][5]["fieldConfig"]["defaults"]["min"] = "0"
    assert sorted(faults(wrong)) == [
        "dashboard.panels[0].options.color_mode is 'backgrund'",
        "dashboard.panels[0].targets[0].instnat is not known",
        "dashboard.panels[1].grid_pos.w is '6'",
        "dashboard.panels[4].options.showHeder is not known",
        "dashboard.panels[5].field_config.defaults.min_val is '0'",
        "dashboard.refersh is not known",
        "dashboard.schema_version is '39'",
        "dashboard.templating.list_val[1].refresh is 7",
    ]


@needs_promtool
def test_promtool_accepts_them(metrics: str) -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, check=False, capture_output=True, text=True
    )
    # It advises other units for some names, which are those of x509-certificate-exporter.
    assert "error while linting" not in done.stderr


def series_of(metrics: str, times: int) -> list[dict[str, str]]:
    """The printed metrics as promtool has them, the same at so many times; its time begins at 0."""
    begin, found = NOW.timestamp(), []
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(sample.labels.items()))
            is_moment = sample.name.endswith(("not_after", "not_before", "read_timestamp"))
            value = sample.value - begin if is_moment else sample.value
            found.append({"series": f"{sample.name}{{{labels}}}", "values": f"{value:.0f}x{times}"})
    return found


def said_of(place: Path, interval: str, test: dict[str, Any]) -> str:
    """What promtool says of a test."""
    content = {"rule_files": [str(RULES)], "evaluation_interval": interval}
    content["tests"] = [{"interval": interval, **test}]
    (place / "test.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        ["promtool", "test", "rules", place / "test.yml"], check=False, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert ("FAILED" in said) == bool(done.returncode), said
    return said


@needs_promtool
def test_each_panel_has_something_to_show(metrics: str, tmp_path: Path) -> None:
    # As Grafana does it where two clusters are chosen.
    asked = [
        target["expr"].replace("$cluster", "(home|other)")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]
    test = {
        "input_series": series_of(metrics, 2),
        "promql_expr_test": [{"expr": expr, "eval_time": "1h", "exp_samples": []} for expr in asked],
    }
    said = said_of(tmp_path, "1h", test)
    assert said.count("got:") == len(asked), said


def fired(pkigen: InProcess, tree: Path, place: Path, *, after: timedelta) -> set[str]:
    """The alerts that fire when metrics of a tree are looked at after some time, by promtool."""
    metrics = pkigen("status", "-C", tree, "-o", "prometheus").out
    # As few looks as the alerts need: one that waits for an hour fires at the second.
    step = next(each for each in (timedelta(hours=1), DAY, 30 * DAY) if after <= 400 * each)
    moment, interval = f"{after.total_seconds():.0f}s", f"{step.total_seconds():.0f}s"
    wanted = [{"eval_time": moment, "alertname": rule["alert"], "exp_alerts": []} for rule in rules()]
    test = {"input_series": series_of(metrics, after // step + 1), "alert_rule_test": wanted}
    return set(re.findall(r"alertname: ?(\w+)", said_of(place, interval, test)))


@needs_promtool
def test_each_alert_fires_in_its_time(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    assert fired(pkigen, tree, tmp_path, after=timedelta(hours=2)) == set()
    stale = "CertificatesNotRead"
    # The leaf certificates live for a year, the person's for 30 days.
    at = {days: fired(pkigen, tree, tmp_path, after=days * DAY) for days in (25, 350, 362, 366)}
    assert at[25] == {stale, "CertificateExpiresWithinAWeek"}
    assert at[350] == {stale, "CertificateExpired", "CertificateExpiresWithinThreeWeeks"}
    assert at[362] == {stale, "CertificateExpired", "CertificateExpiresWithinAWeek"}
    assert at[366] == {stale, "CertificateExpired"}
    (tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt").write_text("?")
    assert fired(pkigen, tree, tmp_path, after=timedelta(hours=2)) == {"CertificateUnreadable"}


@needs_promtool
def test_a_ca_and_a_token_have_alerts_of_their_own(pkigen: InProcess, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    tree = tmp_path / "home"
    assert pkigen("init", spec, "-C", tree).code == 0
    assert "pkigen_token_not_after" in pkigen("status", "-C", tree, "-o", "prometheus").out
    assert "ServiceAccountTokenExpiresWithinADay" in fired(pkigen, tree, tmp_path, after=366 * DAY)
    assert "CertificateAuthorityExpiresWithinHalfAYear" in fired(pkigen, tree, tmp_path, after=3600 * DAY)
