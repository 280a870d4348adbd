from __future__ import annotations

import os
import re
import stat
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.program import DAY, NOW, REPOSITORY, InProcess, photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

API_SERVER = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
SAMPLE = re.compile(r"^(?P<name>[a-z_0-9]+)(?:\{(?P<labels>.*)\})? (?P<value>-?[0-9]+)$")
LABEL = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')

Samples = dict[str, list[tuple[dict[str, str], int]]]


def parsed(text: str) -> Samples:
    """Read the Prometheus text format (exposition format 0.0.4), and nothing else."""
    samples: Samples = {}
    described: dict[str, set[str]] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            _, kind, name, _ = line.split(" ", 3)
            assert kind in {"HELP", "TYPE"}
            described.setdefault(name, set()).add(kind)
            continue
        found = SAMPLE.match(line)
        assert found, line
        assert described[found["name"]] == {"HELP", "TYPE"}
        labels = found["labels"] or ""
        assert LABEL.sub("", labels) == ""
        samples.setdefault(found["name"], []).append((dict(LABEL.findall(labels)), int(found["value"])))
    return samples


def test_the_table(pkigen: InProcess, tree: Path) -> None:
    before = photograph(tree)
    result = pkigen("status", "-C", tree)
    assert (result.code, result.err) == (0, "")
    summary, blank, *table = result.out.splitlines()
    assert (summary, blank) == ("17 certificates, 0 expired, next: user:dev1 in 30d", "")
    lines = [re.split(r" {2,}", line) for line in table]
    assert lines[0] == ["NODE", "CERTIFICATE", "EXPIRES", "RESIDUAL", "CA", "STATE"]
    rows = {(line[0], line[1]): line[2:] for line in lines[1:]}
    assert rows["cp-1", "apiserver"] == ["2027-11-22 03:00", "365d", "ca", "ok"]
    assert rows["-", "ca"][1:] == ["10y", "-", "ok"]
    assert rows["-", "sa"] == ["-", "-", "-", "ok"]
    assert ("-", "user:dev1") in rows
    assert ("cp-1", "kubelet-serving") in rows
    assert ("cp-1", "admin.conf") in rows
    assert photograph(tree) == before


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_structured(pkigen: InProcess, tree: Path, form: str) -> None:
    content = yaml.safe_load(pkigen("status", "-C", tree, "-o", form).out)
    assert (content["apiVersion"], content["kind"], content["cluster"]) == ("pkigen/v1", "Status", "home")
    by_id = {each["id"]: each for each in content["certificates"]}
    assert len(by_id) >= 18
    api_server = by_id["cp-1/apiserver"]
    assert api_server["residualSeconds"] == 365 * 86400
    assert api_server["path"] == API_SERVER
    assert (api_server["reasons"], api_server["issuer"]) == ([], "ca")
    assert by_id["sa"]["expires"] is None


def test_the_effective_end_is_that_of_the_chain(pkigen: InProcess, tree: Path, spec: Path) -> None:
    pkigen.now += 3500 * DAY
    assert pkigen("renew", spec, "-C", tree, "--yes").code == 0
    by_id = {each["id"]: each for each in pkigen("status", "-C", tree, "-o", "json").json["certificates"]}
    assert by_id["cp-1/apiserver"]["effectiveExpiry"] == by_id["ca"]["effectiveExpiry"]


def test_prometheus(pkigen: InProcess, tree: Path) -> None:
    result = pkigen("status", "-C", tree, "-o", "prometheus")
    assert (result.code, result.err) == (0, "")
    samples = parsed(result.out)
    # The names and labels of enix/x509-certificate-exporter, so that its dashboards work.
    assert set(samples) == {
        "x509_cert_not_before",
        "x509_cert_not_after",
        "x509_cert_expired",
        "x509_cert_expires_in_seconds",
        "x509_cert_valid_since_seconds",
        "x509_cert_error",
        "x509_read_errors",
        "x509_read_timestamp",
    }
    assert {
        metric.name: metric.type for metric in text_string_to_metric_families(result.out)
    } == dict.fromkeys(samples, "gauge")
    after = {labels["filepath"]: (labels, value) for labels, value in samples["x509_cert_not_after"]}
    labels, value = after[str(tree / API_SERVER)]
    assert value == int((NOW + 365 * DAY).timestamp())
    assert labels["filename"] == "apiserver.crt"
    assert (labels["subject_CN"], labels["issuer_CN"]) == ("kube-apiserver", "kubernetes")
    assert labels["serial_number"].isdigit()
    admin, _ = after[str(tree / "nodes/cp-1/etc/kubernetes/admin.conf")]
    assert (admin["embedded_kind"], admin["embedded_key"]) == ("user", "kubernetes-admin")
    assert admin["subject_O"] == "kubeadm:cluster-admins"
    assert "embedded_kind" not in labels
    certificates = [name for name in samples if name.startswith("x509_cert_")]
    assert {len(samples[name]) for name in certificates} == {len(after)} == {17}
    for name in ("x509_cert_expired", "x509_cert_error"):
        assert {value for _, value in samples[name]} == {0}
    ends = {labels["filepath"]: value for labels, value in samples["x509_cert_expires_in_seconds"]}
    assert ends[str(tree / API_SERVER)] == 365 * 86400
    begun = {labels["filepath"]: value for labels, value in samples["x509_cert_valid_since_seconds"]}
    assert begun[str(tree / API_SERVER)] == 300  # kubeadm backdates by five minutes
    place = {"cluster": "home", "directory": str(tree)}
    assert samples["x509_read_errors"] == [(place, 0)]
    assert samples["x509_read_timestamp"] == [(place, int(NOW.timestamp()))]


def collected(*texts: str) -> Samples:
    """Several text files as node_exporter's collector takes them together: two that collide are an error."""
    described: dict[str, tuple[str, str]] = {}
    samples: Samples = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            said = (family.documentation, family.type)
            assert described.setdefault(family.name, said) == said
            for sample in family.samples:
                known = samples.setdefault(sample.name, [])
                assert sample.labels not in [labels for labels, _ in known]
                known.append((sample.labels, int(sample.value)))
    return samples


def test_the_files_of_two_clusters_lie_side_by_side(
    pkigen: InProcess, tree: Path, made: Path, spec: Path, tmp_path: Path
) -> None:
    from tests.cli.program import copy_of  # noqa: PLC0415

    namesake = copy_of(made / "home", tmp_path / "namesake")
    (tree / API_SERVER).write_bytes(b"nothing")  # one whose certificates cannot all be read
    spec.write_text(spec.read_text().replace("name: home", "name: away", 1))
    assert pkigen("init", spec, "-C", tmp_path / "away").code == 0
    texts = [
        pkigen("status", "-C", each, "-o", "prometheus").out for each in (tree, namesake, tmp_path / "away")
    ]
    samples = collected(*texts)
    assert {len(found) for name, found in samples.items() if name.startswith("x509_read")} == {3}
    for found in samples.values():
        assert {labels.get("cluster") for labels, _ in found} == {"home", "away"}


def test_prometheus_of_a_tree_that_is_not_well(pkigen: InProcess, tree: Path) -> None:
    (tree / API_SERVER).write_bytes(b"nothing")
    pkigen.now += 400 * DAY
    samples = parsed(pkigen("status", "-C", tree, "-o", "prometheus").out)
    assert [value for _, value in samples["x509_read_errors"]] == [1]
    broken = [labels for labels, value in samples["x509_cert_error"] if value]
    place = {"cluster": "home", "filename": "apiserver.crt", "filepath": str(tree / API_SERVER)}
    assert broken == [place]
    assert sum(value for _, value in samples["x509_cert_expired"]) == 13
    assert len(samples["x509_cert_not_after"]) == 16


def test_labels_are_escaped(pkigen: InProcess, made: Path, tmp_path: Path) -> None:
    from tests.cli.program import copy_of  # noqa: PLC0415

    odd = copy_of(made / "home", tmp_path / 'a "b" \\c')
    samples = parsed(pkigen("status", "-C", odd, "-o", "prometheus").out)
    found = {
        sample.labels["filepath"]
        for metric in text_string_to_metric_families(pkigen("status", "-C", odd, "-o", "prometheus").out)
        for sample in metric.samples
        if metric.name == "x509_cert_not_after"
    }
    assert str(odd / API_SERVER) in found
    paths = {labels["filepath"] for labels, _ in samples["x509_cert_not_after"]}
    assert str(odd / API_SERVER).replace("\\", "\\\\").replace('"', '\\"') in paths


def calendar(raw: str) -> list[dict[str, str]]:
    """Read a calendar by the rules of RFC 5545 3.1; each event's properties by name."""
    assert raw.endswith("\r\n")
    assert raw.count("\r") == raw.count("\n") == raw.count("\r\n")
    assert all(0 < len(line.encode()) <= 75 for line in raw.removesuffix("\r\n").split("\r\n"))
    lines = raw.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")
    assert lines[:2] == ["BEGIN:VCALENDAR", "VERSION:2.0"]
    assert lines[2].startswith("PRODID:")
    assert lines[-1] == "END:VCALENDAR"
    events: list[dict[str, str]] = []
    inside: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        match name:
            case "BEGIN":
                inside.append(value)
                if value == "VEVENT":
                    events.append({})
            case "END":
                assert inside.pop() == value
            case _ if inside[-1] != "VCALENDAR":
                assert events[-1].setdefault(f"{inside[-1]} {name}", value) == value, line
    assert inside == []
    return events


def test_the_calendar(pkigen: InProcess, tree: Path) -> None:
    events = calendar(pkigen("status", "-C", tree, "-o", "ics").out)
    assert len(events) == 17
    assert len({event["VEVENT UID"] for event in events}) == 17
    for event in events:
        assert event["VEVENT DTSTAMP"] == f"{NOW:%Y%m%dT%H%M%SZ}"
        assert datetime.strptime(event["VEVENT DTSTART"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
        assert event["VALARM ACTION"] == "DISPLAY"
        assert event["VALARM TRIGGER"] == "-P30D"
    found = {event["VEVENT SUMMARY"]: event for event in events}
    assert found["home: certificate cp-1/apiserver expires"]["VEVENT DESCRIPTION"] == API_SERVER


def test_a_calendar_that_is_read_again_moves_its_events(pkigen: InProcess, tree: Path, spec: Path) -> None:
    before = {
        event["VEVENT UID"]: event["VEVENT DTSTART"]
        for event in calendar(pkigen("status", "-C", tree, "-o", "ics").out)
    }
    pkigen.now += 30 * DAY
    assert pkigen("renew", spec, "apiserver", "-C", tree, "--yes").code == 0
    after = {
        event["VEVENT UID"]: event["VEVENT DTSTART"]
        for event in calendar(pkigen("status", "-C", tree, "-o", "ics").out)
    }
    assert after.keys() == before.keys()
    assert {uid for uid in before if before[uid] != after[uid]} == {"home/cp-1/apiserver@pkigen"}


@pytest.mark.parametrize("form", ["text", "json", "yaml", "prometheus", "ics"])
def test_a_text_file_is_replaced_at_once(pkigen: InProcess, tree: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "metrics" / "pkigen.prom"
    target.parent.mkdir()
    printed = pkigen("status", "-C", tree, "-o", form).out
    result = pkigen("status", "-C", tree, "-o", form, "--textfile", target)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert target.read_bytes() == printed.encode()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["pkigen.prom"]


def test_a_reader_of_the_text_file_never_sees_half(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "pkigen.prom"
    pkigen("status", "-C", tree, "-o", "prometheus", "--textfile", target)
    whole = len(target.read_bytes())
    over = threading.Event()
    lengths: set[int] = set()

    def watch() -> None:
        while not over.is_set():
            lengths.add(len(target.read_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        pkigen("status", "-C", tree, "-o", "prometheus", "--textfile", target)
    over.set()
    watcher.join()
    assert lengths == {whole}


def test_a_text_file_that_cannot_be_written(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "no/x.prom", tmp_path):
        result = pkigen("status", "-C", tree, "-o", "prometheus", "--textfile", path)
        assert (result.code, result.out) == (1, "")
        assert f"{path} cannot be written" in result.error


@pytest.mark.parametrize(
    ("later", "window", "code", "overdue"), [(0, "24h", 0, 0), (0, "800h", 4, 1), (350, "720h", 4, 14)]
)
def test_fail_within(pkigen: InProcess, tree: Path, later: int, window: str, code: int, overdue: int) -> None:
    pkigen.now += later * DAY
    result = pkigen("status", "-C", tree, "--fail-within", window)
    assert result.code == code
    assert result.err.count("finding: ") == overdue
    assert "\nNODE" in result.out


@pytest.mark.parametrize(("later", "overdue"), [(0, 0), (9, 0), (21, 1), (334, 1), (336, 14), (3649, 17)])
def test_fail_within_the_own_renew_before(pkigen: InProcess, tree: Path, later: int, overdue: int) -> None:
    """A user's certificate lives 30 days and is renewed 10 before its end, leaves one year, and 30."""
    pkigen.now += later * DAY
    result = pkigen("status", "-C", tree, "--fail-within", "renewBefore")
    assert (result.code, result.err.count("finding: ")) == (4 if overdue else 0, overdue)


def test_a_leaf_that_its_ca_shortens_is_due_in_the_last_third_of_its_life(
    pkigen: InProcess, tree: Path, spec: Path
) -> None:
    pkigen.now += 3643 * DAY
    assert pkigen("renew", spec, "--all", "-C", tree, "--yes").code == 0
    result = pkigen("status", "-C", tree, "--fail-within", "renewBefore")
    assert "finding: ca: " in result.err  # a CA is not renewed with the leaves
    assert "finding: cp-1/apiserver: " not in result.err
    pkigen.now += 5 * DAY
    result = pkigen("status", "-C", tree, "--fail-within", "renewBefore")
    assert "finding: cp-1/apiserver: expires within its renewBefore" in result.err


def test_fail_within_finds_what_is_broken_too(pkigen: InProcess, tree: Path) -> None:
    (tree / API_SERVER).unlink()
    result = pkigen("status", "-C", tree, "--fail-within", "1h", "-o", "json")
    assert result.code == 4
    assert f"finding: cp-1/apiserver: {API_SERVER} is missing" in result.err
    assert result.json["kind"] == "Status"


@pytest.mark.parametrize(
    ("harm", "subject"),
    [
        (lambda path: path("apiserver.key").write_bytes(path("sa.key").read_bytes()), "cp-1/apiserver"),
        (lambda path: path("apiserver.key").unlink(), "cp-1/apiserver"),
        (lambda path: path("apiserver.crt").write_bytes(path("etcd/ca.crt").read_bytes()), "cp-1/apiserver"),
    ],
    ids=["key-mismatch", "key-missing", "unknown-issuer"],
)
def test_fail_within_finds_what_is_of_no_use(
    pkigen: InProcess, tree: Path, harm: Callable[[Callable[[str], Path]], object], subject: str
) -> None:
    harm(lambda name: (tree / API_SERVER).parent / name)
    result = pkigen("status", "-C", tree, "--fail-within", "1h")
    assert result.code == 4
    assert f"finding: {subject}: " in result.err


def test_fail_within_is_not_about_what_works_all_the_same(pkigen: InProcess, tree: Path) -> None:
    (tree / API_SERVER).chmod(0o666)
    assert pkigen("status", "-C", tree, "--fail-within", "1h").code == 0
    assert pkigen("verify", "-C", tree).code == 4


def test_what_is_recommended_is_green_on_the_first_trees_of_the_readme(
    pkigen: InProcess, tmp_path: Path
) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    (first,) = re.findall(r"```yaml\n(apiVersion: pkigen.*?)```", readme, re.DOTALL)
    (tmp_path / "cluster.yaml").write_text(first)
    assert "pkigen init examples/ha.yaml" in readme
    unit = (REPOSITORY / "examples/systemd/pkigen-status.service").read_text()
    (recommended,) = re.findall(r"^ExecStart=.*(--fail-within \S+)$", unit, re.MULTILINE)
    assert recommended in readme
    for number, spec in enumerate((tmp_path / "cluster.yaml", REPOSITORY / "examples/ha.yaml")):
        tree = tmp_path / f"tree-{number}"
        assert pkigen("init", spec, "-C", tree).code == 0
        assert pkigen("status", "-C", tree, *recommended.split()).code == 0


@pytest.mark.parametrize("command", ["status", "verify", "rollback"])
def test_directories_that_are_no_pki_directory(pkigen: InProcess, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    result = pkigen(command, "-C", tmp_path / "empty")
    assert (result.code, result.out) == (2, "")
    assert result.error == f"{tmp_path}/empty is no cluster's directory: it has no pki.lock"
    result = pkigen(command, "-C", tmp_path / "nope")
    assert (result.code, result.error) == (1, f"{tmp_path}/nope does not exist")
    (tmp_path / "file").write_text("")
    result = pkigen(command, "-C", tmp_path / "file")
    assert (result.code, result.error) == (1, f"{tmp_path}/file is a file")
    assert os.listdir(tmp_path / "empty") == []  # noqa: PTH208


def test_a_wrong_duration(pkigen: InProcess, tree: Path) -> None:
    result = pkigen("status", "-C", tree, "--fail-within", "soon")
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith("--fail-within ")


def test_with_a_spec(pkigen: InProcess, tree: Path, spec: Path) -> None:
    assert pkigen("status", "-C", tree, spec).out == pkigen("status", "-C", tree).out
    spec.write_text(spec.read_text().replace("10.0.0.11", "10.0.0.12"))
    assert "sans-changed" in pkigen("status", "-C", tree, spec).out
    result = pkigen("verify", "-C", tree, spec)
    assert result.code == 4
    assert "cp-1/apiserver: sans-changed: SANs + 10.0.0.12 - 10.0.0.11" in result.out


def test_the_summary_counts_what_is_to_do(pkigen: InProcess, tree: Path) -> None:
    pkigen.now += 350 * DAY
    summary = pkigen("status", "-C", tree).out.splitlines()[0]
    assert summary == "17 certificates, 1 expired, 13 to renew, next: cp-1/admin.conf in 15d"
    pkigen.now += 20000 * DAY
    assert pkigen("status", "-C", tree).out.splitlines()[0] == "17 certificates, 17 expired"


def test_colours_only_where_they_are_wanted(
    pkigen: InProcess, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pkigen.now += 350 * DAY
    plain = pkigen("status", "-C", tree).out
    assert "\x1b" not in plain
    monkeypatch.setenv("NO_COLOR", "1")
    shown = pkigen("--color", "always", "status", "-C", tree).out
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain
    tones = {line.split("m", 1)[0] for line in shown.splitlines() if "user:dev1" in line}
    assert tones == {"\x1b[1;38;5;196"}, "what has expired"
    assert "\x1b[38;5;130mcp-1  apiserver " in shown, "what is to be renewed"
    assert "\x1b[38;5;130m-     ca " not in shown
    assert pkigen("--color", "never", "status", "-C", tree).out == plain
    assert pkigen("status", "-C", tree).out == plain, "the wish does not outlive its run"
    assert pkigen("--color", "sometimes", "status", "-C", tree).code == 2


def test_some_nodes_in_some_order(pkigen: InProcess, tree: Path) -> None:
    def listed(*options: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = pkigen("status", "-C", tree, "-o", "json", *options).json[
            "certificates"
        ]
        return found

    assert {each["node"] for each in listed("--node", "cp-1")} == {"cp-1"}
    usual = listed()
    by_expiry = listed("--sort", "expiry")
    assert by_expiry[0]["id"] == "user:dev1"
    assert [each["id"] for each in by_expiry[-1:]] == ["sa"]
    ends = [each["effectiveExpiry"] for each in by_expiry[:-1]]
    assert ends == sorted(ends)
    names = [each["name"] for each in listed("--sort", "name")]
    assert names == sorted(names)
    by_node = [(each["node"] or "", each["name"]) for each in listed("--sort", "node")]
    assert by_node == sorted(by_node)
    assert sorted(by_node) != [(each["node"] or "", each["name"]) for each in usual]


def test_a_node_that_is_not_there(pkigen: InProcess, tree: Path) -> None:
    near = pkigen("status", "-C", tree, "--node", "cp-1", "--node", "cp1")
    assert (near.code, near.error, near.hint) == (
        2,
        "there is no node 'cp1' in this cluster",
        "did you mean cp-1?",
    )
    assert pkigen("status", "-C", tree, "--node", "xyz").hint == "choose from cp-1"
