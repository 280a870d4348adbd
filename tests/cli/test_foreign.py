from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml

from pkigen.adoption.findings import AuditRule

if TYPE_CHECKING:
    from tests.cli.program import InProcess

FORMS = ("text", "json", "yaml", "sarif", "junit", "markdown")


@pytest.fixture
def node(tree: Path, tmp_path: Path) -> Path:
    """A node's files alone, as somebody would copy them."""
    shutil.copytree(tree / "nodes/cp-1", tmp_path / "copy/cp-1")
    return tmp_path / "copy/cp-1"


@pytest.fixture
def broken(node: Path) -> Path:
    (node / "etc/kubernetes/pki/apiserver.key").chmod(0o644)
    return node


@pytest.mark.parametrize("form", FORMS)
def test_a_clean_node_gives_zero_in_every_form(form: str, node: Path, pkigen: InProcess) -> None:
    result = pkigen("verify", node, "-o", form)
    assert (result.code, result.err) == (0, "")
    assert result.out


@pytest.mark.parametrize("form", FORMS)
def test_a_finding_gives_four_in_every_form(form: str, broken: Path, pkigen: InProcess) -> None:
    result = pkigen("verify", broken, "-o", form)
    assert result.code == 4
    assert "key-exposed" in result.out.replace("\\", "")


def test_the_text_says_where_why_and_what_to_do(broken: Path, pkigen: InProcess) -> None:
    lines = pkigen("verify", broken).out.splitlines()
    assert lines[0] == (
        "error       cp-1:/etc/kubernetes/pki/apiserver.key: key-exposed: its mode is 0644: everybody can "
        "read the private key (CIS 1.1.21)"
    )
    assert lines[1].startswith("    why: ")
    assert lines[2].startswith("    do:  chmod 600 it")
    assert ", 1 error, 0 warnings, " in lines[-1]
    assert lines[-1].startswith("1 node, ")


def test_a_tar_says_the_same_as_the_directory(broken: Path, pkigen: InProcess, tmp_path: Path) -> None:
    archive = tmp_path / "cp-1.tar.gz"
    subprocess.run(["tar", "-C", broken.parent, "-czf", archive, "cp-1"], check=True)
    of_tar = json.loads(pkigen("verify", archive, "-o", "json").out)
    of_directory = json.loads(pkigen("verify", broken.parent, "-o", "json").out)
    assert of_tar["findings"] == of_directory["findings"]
    assert of_tar["findings"][0]["path"] == "cp-1/etc/kubernetes/pki/apiserver.key"


def test_json_and_yaml_are_one_structure(broken: Path, pkigen: InProcess) -> None:
    first = json.loads(pkigen("verify", broken, "-o", "json").out)
    assert yaml.safe_load(pkigen("verify", broken, "-o", "yaml").out) == first
    assert (first["apiVersion"], first["kind"], first["nodes"]) == ("pkigen/v1", "Audit", 1)
    assert first["connections"] > 10


def test_sarif_names_rules_levels_and_files(broken: Path, pkigen: InProcess) -> None:
    (run,) = json.loads(pkigen("verify", broken, "-o", "sarif").out)["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == [str(rule) for rule in AuditRule]
    result = run["results"][0]
    assert (result["ruleId"], result["level"]) == ("key-exposed", "error")
    assert rules[result["ruleIndex"]] == "key-exposed"
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "etc/kubernetes/pki/apiserver.key"}


def test_junit_has_a_case_for_all_that_could_be_found(tree: Path, pkigen: InProcess) -> None:
    clean = ET.fromstring(pkigen("verify", "-C", tree, "-o", "junit").out)[0]  # noqa: S314 -- our own
    names = {case.get("name") for case in clean}
    assert {"expired", "mode", "key-mismatch", "broken-edge", "tracked-secret", "remark"} <= names
    assert (clean.get("tests"), clean.get("failures")) == (str(len(names)), "0")
    assert not clean.findall("testcase/failure")
    (tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.key").chmod(0o644)
    found = ET.fromstring(pkigen("verify", "-C", tree, "-o", "junit").out)[0]  # noqa: S314 -- our own
    failed = [case.get("name") for case in found if case.find("failure") is not None]
    assert (failed, len(found)) == (["mode"], len(names))


def test_junit_fails_one_case(broken: Path, pkigen: InProcess) -> None:
    (suite,) = ET.fromstring(pkigen("verify", broken, "-o", "junit").out)  # noqa: S314 -- our own
    assert (suite.get("tests"), suite.get("failures")) == (str(len(AuditRule)), "1")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["key-exposed"]


@pytest.mark.parametrize("maker", ["foreign", "own"])
def test_sarif_is_valid_by_the_published_schema(
    maker: str, broken: Path, tree: Path, pkigen: InProcess
) -> None:
    schema = os.environ.get("SARIF_SCHEMA")
    if not schema:
        pytest.skip("no SARIF_SCHEMA: the path of https://json.schemastore.org/sarif-2.1.0.json")
    (tree / "nodes/cp-1/etc/kubernetes/admin.conf").unlink()
    result = pkigen("verify", *([broken] if maker == "foreign" else ["-C", tree]), "-o", "sarif")
    assert result.code == 4
    jsonschema = pytest.importorskip("jsonschema")  # compiles grammars while it is imported, for seconds
    jsonschema.validate(json.loads(result.out), json.loads(Path(schema).read_text(encoding="utf-8")))


@pytest.mark.parametrize("maker", ["foreign", "own"])
def test_junit_is_valid_by_the_published_schema(
    maker: str, broken: Path, tree: Path, pkigen: InProcess, tmp_path: Path
) -> None:
    schema, program = os.environ.get("JUNIT_SCHEMA"), shutil.which("xmllint")
    if not schema or program is None:
        pytest.skip("no xmllint, or no JUNIT_SCHEMA: the path of junit-10.xsd of Jenkins' xunit plugin")
    (tree / "nodes/cp-1/etc/kubernetes/admin.conf").unlink()
    result = pkigen("verify", *([broken] if maker == "foreign" else ["-C", tree]), "-o", "junit")
    (tmp_path / "report.xml").write_text(result.out)
    subprocess.run([program, "--noout", "--schema", schema, tmp_path / "report.xml"], check=True)


@pytest.mark.parametrize("form", ["sarif", "junit", "markdown"])
def test_pkigens_own_tree_has_every_form(form: str, tree: Path, pkigen: InProcess) -> None:
    assert pkigen("verify", "-C", tree, "-o", form).code == 0
    (tree / "nodes/cp-1/etc/kubernetes/admin.conf").unlink()
    result = pkigen("verify", "-C", tree, "-o", form)
    assert result.code == 4
    assert "admin.conf" in result.out


def test_live_has_three_forms(tree: Path, pkigen: InProcess) -> None:
    result = pkigen("verify", "-C", tree, "--live", "--timeout", "1s", "-o", "sarif")
    assert (result.code, result.error) == (2, "--live has no form sarif")


def test_status_shows_what_expires_first(node: Path, pkigen: InProcess) -> None:
    content = json.loads(pkigen("status", node, "-o", "json").out)
    ends = [each["effectiveExpiry"] for each in content["certificates"]]
    assert ends == sorted(ends)
    names = [each["path"] for each in content["certificates"]]
    assert "etc/kubernetes/pki/apiserver.crt" in names
    assert names.count("etc/kubernetes/admin.conf") == 1, "its certificate, and not again its CA"


@pytest.mark.parametrize("form", ["text", "yaml", "prometheus", "ics"])
def test_status_has_its_other_forms(form: str, node: Path, pkigen: InProcess) -> None:
    result = pkigen("status", node, "-o", form)
    assert (result.code, result.err) == (0, "")
    assert "apiserver.crt" in result.out.replace("\r\n ", "")


def test_status_fails_for_what_expires_within_a_time(node: Path, pkigen: InProcess) -> None:
    assert pkigen("status", node, "--fail-within", "24h").code == 0
    result = pkigen("status", node, "--fail-within", "9000h")
    assert result.code == 4
    assert "finding: cp-1:/etc/kubernetes/pki/apiserver.crt: expires within 9000h" in result.err


def test_what_a_file_says_moves_no_cursor(node: Path, pkigen: InProcess) -> None:
    kubeconfig = node / "etc/kubernetes/admin.conf"
    kubeconfig.write_text(kubeconfig.read_text().replace("current-context:", 'x: "\\e[2J"\ncurrent-context:'))
    (node / "etc/kubernetes/pki/\x1b[2J|<b>.crt").write_text("no certificate")
    for form in FORMS:
        out = pkigen("verify", node, "-o", form).out
        assert "\x1b" not in out
        assert form != "markdown" or "<b>" not in out
    ET.fromstring(pkigen("verify", node, "-o", "junit").out)  # noqa: S314 -- our own


def test_no_private_byte_is_shown(broken: Path, pkigen: InProcess) -> None:
    body = (broken / "etc/kubernetes/pki/apiserver.key").read_text().splitlines()[1]
    assert all(body not in pkigen("verify", broken, "-o", form, "-v").out for form in FORMS)


@pytest.mark.parametrize("command", ["verify", "status"])
def test_without_a_cluster_both_things_to_look_at_are_named(
    command: str, tmp_path: Path, pkigen: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = pkigen(command)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"no cluster is here: neither {tmp_path} nor ")
    assert result.hint.startswith("name the cluster's directory with -C DIR or in PKIGEN_DIR")
    assert f"`pkigen {command} /etc/kubernetes`" in result.hint


@pytest.mark.parametrize("command", ["verify", "status"])
def test_files_of_nodes_after_the_option_of_clusters(command: str, node: Path, pkigen: InProcess) -> None:
    result = pkigen(command, "-C", node)
    assert (result.code, result.out) == (2, "")
    assert result.error == f"{node} is no cluster's directory: it has no pki.lock"
    assert result.hint == f"files of nodes are named without -C: `pkigen {command} {node}`"


@pytest.mark.parametrize("command", ["verify", "status"])
def test_a_spec_in_the_same_place_is_compared_with(
    command: str, tree: Path, spec: Path, pkigen: InProcess
) -> None:
    assert pkigen(command, spec, "-C", tree).code == 0
    assert pkigen(command, tree).error == f"{tree} is a cluster's directory, not a spec"


def test_a_directory_without_anything_is_still_refused(tmp_path: Path, pkigen: InProcess) -> None:
    (tmp_path / "empty").mkdir()
    assert pkigen("verify", tmp_path / "empty").code == 2


def test_a_damaged_archive_is_refused(tmp_path: Path, pkigen: InProcess) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    result = pkigen("verify", tmp_path / "a.tar.gz")
    assert result.code != 0
    assert "a.tar.gz is damaged" in result.error
