"""The shipped alerts and the dashboard ask for metrics that are really printed, and fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

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


@needs_promtool
def test_promtool_accepts_them(metrics: str, tmp_path: Path) -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    asked = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$cluster", ".*")}
        for number, target in enumerate(each for panel in DASHBOARD["panels"] for each in panel["targets"])
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    subprocess.run(["promtool", "check", "rules", tmp_path / "panels.yml"], check=True, capture_output=True)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, check=False, capture_output=True, text=True
    )
    # It advises other units for some names, which are those of x509-certificate-exporter.
    assert "error while linting" not in done.stderr


def fired(pkigen: InProcess, tree: Path, place: Path, *, after: timedelta) -> set[str]:
    """The alerts that fire when metrics of a tree are looked at after some time, by promtool."""
    metrics = pkigen("status", "-C", tree, "-o", "prometheus").out
    begin, step = NOW.timestamp(), DAY if after > 2 * DAY else timedelta(hours=1)
    series = []
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(sample.labels.items()))
            # promtool's time begins at 0.
            is_moment = sample.name.endswith(("not_after", "not_before", "read_timestamp"))
            value = sample.value - begin if is_moment else sample.value
            series.append(
                {"series": f"{sample.name}{{{labels}}}", "values": f"{value:.0f}x{after // step + 1}"}
            )
    moment, interval = f"{after.total_seconds():.0f}s", f"{step.total_seconds():.0f}s"
    wanted = [{"eval_time": moment, "alertname": rule["alert"], "exp_alerts": []} for rule in rules()]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": interval,
        "tests": [{"interval": interval, "input_series": series, "alert_rule_test": wanted}],
    }
    (place / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", place / "test.yml"], check=False, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    found = set(re.findall(r"alertname: ?(\w+)", said))
    assert bool(found) == bool(done.returncode), said
    return found


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
