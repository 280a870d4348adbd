"""What a command says about the spec, the directories and the templates that it is given."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.program import EXAMPLES, HOME, PROGRAM, REPOSITORY, InProcess, photograph, program

if TYPE_CHECKING:
    from types import ModuleType

KUBEADM = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  name: cp1
localAPIEndpoint:
  advertiseAddress: 10.0.0.11
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: prod
kubernetesVersion: v1.36.2
"""
WITH_SPEC = ("validate", "init", "plan", "apply", "renew")
ALL_EXAMPLES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("command", WITH_SPEC)
def test_a_spec_that_is_not_there(pkigen: InProcess, tmp_path: Path, command: str) -> None:
    path = tmp_path / "nope.yaml"
    result = pkigen(command, path)
    assert (result.code, result.out) == (2, "")
    assert f"{path}: cannot be read: no such file or directory" in result.err


@pytest.mark.parametrize("command", WITH_SPEC[:-1])
def test_a_directory_as_spec(pkigen: InProcess, tmp_path: Path, command: str) -> None:
    result = pkigen(command, tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.error == f"{tmp_path} is a directory, not a spec"


@pytest.mark.parametrize("command", WITH_SPEC)
def test_every_problem_is_said_at_once_and_nothing_is_written(
    pkigen: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.yaml"
    path.write_text(HOME.replace("10.0.0.11", "10.0.0.300").replace("v1.36.2", "v1.2.3") + "  nope: 1\n")
    result = pkigen(command, path)
    assert (result.code, result.out) == (2, "")
    problems = [line for line in result.err.splitlines() if line.startswith(f"{path}:")]
    assert len(problems) == 3, result.err
    assert all(line.removeprefix(f"{path}:")[0].isdigit() for line in problems)
    assert result.error == "3 problems in the spec"
    assert list(tmp_path.iterdir()) == [path]


def test_a_spec_that_is_not_text(pkigen: InProcess, tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00" * 100)
    assert pkigen("validate", path).code == 2


def test_standard_input(pkigen: InProcess, monkeypatch: pytest.MonkeyPatch, made: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HOME.encode())))
    assert pkigen("validate", "-").code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HOME.encode())))
    assert pkigen("plan", "-", "-C", made / "home").code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"kind: nope")))
    result = pkigen("validate", "-")
    assert result.code == 2
    assert "standard input:" in result.err


def test_standard_input_of_a_real_program(tmp_path: Path) -> None:
    result = program("init", "-", "-C", tmp_path / "home", stdin=HOME)
    assert result.code == 0, result.err
    assert (tmp_path / "home/pki.lock").exists()


def test_a_kubeadm_configuration(pkigen: InProcess, tmp_path: Path) -> None:
    path = tmp_path / "kubeadm.yaml"
    path.write_text(KUBEADM)
    assert "cluster prod, Kubernetes v1.36.2, 1 node" in pkigen("validate", path).out
    result = pkigen("init", path, "-C", tmp_path / "prod", "-o", "json")
    assert result.code == 0, result.err
    assert (tmp_path / "prod/nodes/cp1/etc/kubernetes/pki/apiserver.crt").exists()
    assert pkigen("init", path, "-C", tmp_path / "prod").out.count("nothing to do") == 1
    assert pkigen("verify", "-C", tmp_path / "prod").code == 0


def test_validate_counts(pkigen: InProcess, spec: Path) -> None:
    result = pkigen("validate", spec)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{spec} is valid: cluster home, Kubernetes v1.36.2, 1 node, 17 certificates\n"


def test_validate_warns_on_stderr(pkigen: InProcess, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        HOME.replace("users:", "controlPlaneEndpoint: api.example.com:6443\n  users:").replace(
            "  nodes:\n", "  nodes:\n    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}\n"
        )
    )
    result = pkigen("validate", path)
    assert result.code == 0
    assert f"warning: {path}:" in result.err
    assert "warning" not in result.out


@pytest.mark.parametrize("name", ALL_EXAMPLES)
def test_every_example_is_printed_valid_and_accepted_by_the_schema(
    jsonschema: ModuleType, pkigen: InProcess, tmp_path: Path, name: str
) -> None:
    printed = pkigen("init", "--example", name)
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == (EXAMPLES / f"{name}.yaml").read_text()
    path = tmp_path / "example.yaml"
    path.write_text(printed.out)
    assert pkigen("validate", path).code == 0
    schema = json.loads(pkigen("validate", "--schema", "spec").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(printed.out), schema, cls=jsonschema.Draft202012Validator)


def test_the_published_schema_is_the_models(pkigen: InProcess) -> None:
    published = (REPOSITORY / "docs/cluster.schema.json").read_text()
    assert published == pkigen("validate", "--schema", "spec").out, "run `python scripts/reference.py`"


def test_the_schema_refuses_what_validate_refuses(jsonschema: ModuleType, pkigen: InProcess) -> None:
    schema = pkigen("validate", "--schema", "spec").json
    assert schema["title"] == "pkigen cluster spec"
    document = yaml.safe_load(HOME)
    jsonschema.validate(document, schema)
    document["spec"]["nope"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_the_list_of_examples(pkigen: InProcess) -> None:
    lines = pkigen("init", "--examples").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ALL_EXAMPLES
    assert all(line.partition(": ")[2] for line in lines)


def test_an_example_that_is_not_there(pkigen: InProcess) -> None:
    result = pkigen("init", "--example", "nope")
    assert (result.code, result.error) == (2, "there is no example 'nope'")
    assert "single" in result.hint


@pytest.mark.parametrize("command", ["init", "apply"])
def test_directories_that_cannot_be_used(pkigen: InProcess, tmp_path: Path, spec: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    before = photograph(tmp_path)
    for out, error in (
        (tmp_path / "file", f"{tmp_path}/file is a file"),
        (tmp_path / "a/b", f"the directory {tmp_path}/a does not exist"),
        (tmp_path / "file/b", "not a directory"),
        (tmp_path / "link", f"{tmp_path}/link is a symbolic link"),
    ):
        result = pkigen(command, spec, "-C", out, *(["--yes"] if command == "apply" else []))
        assert (result.code, result.out) == (1, "")
        assert error in result.error
        assert str(out) in result.error or str(out.parent) in result.error
    assert photograph(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_of_somebody_else() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "home.yaml").write_text(HOME)
        done = subprocess.run(
            [
                *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                *(*PROGRAM, "init", place / "home.yaml", "-C", place / "home"),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: cannot open {place}/home: permission denied" in done.stderr
        assert "hint: run as the user who owns" in done.stderr
        assert [path.name for path in place.iterdir()] == ["home.yaml"]


def test_the_default_directory_is_named_after_the_cluster(
    pkigen: InProcess, spec: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pkigen("init", spec).code == 0
    assert (tmp_path / "home/pki.lock").exists()
    monkeypatch.chdir(tmp_path / "home")
    assert pkigen("verify").out.endswith(" 0 findings\n")
    assert pkigen("status").code == 0


@pytest.mark.parametrize("command", ["init", "plan", "apply", "renew"])
def test_templates_that_are_not_usable(
    pkigen: InProcess, tmp_path: Path, spec: Path, tree: Path, command: str
) -> None:
    place = tmp_path / "x" if command == "init" else tree
    before = photograph(tree)
    result = pkigen(command, spec, "-C", place, "--templates", tmp_path / "nope")
    assert (result.code, result.out) == (1, "")
    assert str(tmp_path / "nope") in result.error
    assert not (tmp_path / "x").exists()
    assert photograph(tree) == before


def test_templates_of_ones_own(pkigen: InProcess, tmp_path: Path, tree: Path, spec: Path) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "kubeconfig.yaml.j2").write_text("{{ nope }}")
    result = pkigen("plan", spec, "-C", tree, "--templates", own)
    assert (result.code, result.out) == (1, "")
    assert "kubeconfig.yaml.j2" in result.error


def test_a_template_that_the_system_refuses_to_read(
    pkigen: InProcess, tree: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/templates/kubeconfig.yaml.j2")

    monkeypatch.setattr("jinja2.FileSystemLoader.get_source", refuse)
    result = pkigen("plan", spec, "-C", tree)
    assert (result.code, result.out) == (1, "")
    assert result.error == "/templates/kubeconfig.yaml.j2 cannot be read: input/output error"
