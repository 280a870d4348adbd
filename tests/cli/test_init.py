from __future__ import annotations

import json
import shutil
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.program import HOME, InProcess, changed, contents, copy_of, photograph, unaddressed

if TYPE_CHECKING:
    from pathlib import Path

CA_FILES = ("ca", "etcd/ca", "front-proxy-ca")


def test_the_summary(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    root = tmp_path / "home"
    result = pkigen("init", spec, "-C", root)
    assert (result.code, result.err) == (0, "")
    for part in ("cluster home, Kubernetes v1.36.2", "front-proxy-ca  2036-", "cp-1  control-plane", "dev1"):
        assert part in result.out
    assert f"kubectl --kubeconfig {root}/nodes/cp-1/etc/kubernetes/super-admin.conf" in result.out
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o022 == 0
        if path.suffix in {".key", ".conf"}:
            assert mode == 0o600


def test_that_nothing_in_the_cluster_signs_is_said(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    """Also where no kubelet wants anything signed."""
    sentence = "no node gets a CA key: the controller managers sign nothing"
    assert sentence not in pkigen("init", spec, "-C", tmp_path / "with").out
    document = yaml.safe_load(spec.read_text())
    document["spec"]["certificates"] = {"distributeCAKeys": False}
    document["spec"]["kubelet"] = {"rotateCertificates": False}
    without = tmp_path / "without.yaml"
    without.write_text(yaml.safe_dump(document))
    result = pkigen("init", without, "-C", tmp_path / "without")
    assert sentence in result.out
    assert result.err == ""


@pytest.mark.parametrize(("form", "read"), [("json", yaml.safe_load), ("yaml", yaml.safe_load)])
def test_structured(pkigen: InProcess, spec: Path, tmp_path: Path, form: str, read: object) -> None:
    assert callable(read)
    result = pkigen("init", spec, "-C", tmp_path / "home", "-o", form)
    content = read(result.out)
    assert content["kind"] == "Applied"
    assert content["apiVersion"] == "pkigen/v1"
    assert content["cluster"] == "home"
    assert {"ca", "sa", "cp-1/apiserver", "cp-1/kubelet.conf", "user:dev1"} <= set(content["issued"])
    assert content["backup"] is None
    again = read(pkigen("init", spec, "-C", tmp_path / "home", "-o", form).out)
    assert (again["kind"], again["issued"], again["actions"]) == ("Applied", [], [])
    assert content.keys() == again.keys()


def test_a_second_run_touches_nothing(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = photograph(tree)
    result = pkigen("init", spec, "-C", tree)
    assert (result.code, result.err) == (0, "")
    pin = pkigen("init", spec, "-C", tree, "-o", "json").json["bundleKey"]
    assert result.out.splitlines() == [
        f"{tree} matches the spec: nothing to do",
        f"bundle key: {pin} (nodes pin it: `pkigen airgap bundle install --pin`)",
    ]
    assert photograph(tree) == before


def test_an_algorithm_that_is_only_spoken_of_makes_no_difference(
    pkigen: InProcess, spec: Path, tmp_path: Path
) -> None:
    """Processes begin to make RSA keys on a guess; what is made is what the spec says."""
    spoken, tree = tmp_path / "spoken.yaml", tmp_path / "tree"
    spoken.write_text(f"# once it was RSA-2048\n{spec.read_text()}")
    assert pkigen("init", spoken, "-C", tree).code == 0
    locked = json.loads((tree / "pki.lock").read_text())
    assert {each["key"] for each in locked["certificates"].values()} == {"ECDSA-P256"}


def test_a_changed_spec_is_refused(pkigen: InProcess, spec: Path, tree: Path) -> None:
    spec.write_text(HOME.replace("10.0.0.11", "10.0.0.12"))
    before = contents(tree)
    result = pkigen("init", spec, "-C", tree)
    assert (result.code, result.out) == (1, "")
    assert "init does not change what exists" in result.error
    assert f"pkigen plan {spec} -C {tree}" in result.hint
    assert contents(tree) == before


def test_a_dry_run_writes_nothing(pkigen: InProcess, spec: Path, tmp_path: Path, tree: Path) -> None:
    root = tmp_path / "new"
    result = pkigen("init", spec, "-C", root, "--dry-run")
    assert result.code == 0
    assert result.out.endswith(" to create, 0 unchanged\n")
    assert result.err == "dry run: nothing was written\n"
    assert not root.exists()
    before = photograph(tree)
    assert pkigen("init", spec, "-C", tree, "--dry-run").out.startswith("nothing to do")
    assert photograph(tree) == before
    content = pkigen("init", spec, "-C", root, "--dry-run", "-o", "json").json
    assert content["kind"] == "Plan"
    assert {action["action"] for action in content["actions"]} == {"create"}
    assert not root.exists()


def bring(made: Path, root: Path) -> None:
    """Put the CAs of another cluster into an empty directory, as a user would."""
    for stem in CA_FILES:
        for suffix in ("crt", "key"):
            target = root / "pki" / f"{stem}.{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made / "home/pki" / f"{stem}.{suffix}", target)


def test_a_brought_authority_is_used(pkigen: InProcess, spec: Path, made: Path, tmp_path: Path) -> None:
    root = tmp_path / "brought"
    bring(made, root)
    before = contents(root)
    result = pkigen("init", spec, "-C", root, "-o", "json")
    assert result.code == 0, result.err
    assert not {"ca", "etcd-ca", "front-proxy-ca"} & set(result.json["issued"])
    after = contents(root)
    assert all(after[name] == data for name, data in before.items())
    assert pkigen("verify", "-C", root).code == 0


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda pki: (pki / "ca.key").unlink(), "cannot sign without its key"),
        (lambda pki: (pki / "ca.crt").unlink(), "is missing, but"),
        (lambda pki: shutil.copy(pki / "etcd/ca.key", pki / "ca.key"), "does not match"),
        (lambda pki: (pki / "ca.crt").write_bytes(b"\x00"), "holds no PEM certificate"),
    ],
)
def test_an_unfit_authority_is_refused(
    pkigen: InProcess, spec: Path, made: Path, tmp_path: Path, spoil: object, sentence: str
) -> None:
    assert callable(spoil)
    root = tmp_path / "brought"
    bring(made, root)
    spoil(root / "pki")
    before = contents(root)
    result = pkigen("init", spec, "-C", root)
    assert (result.code, result.out) == (1, "")
    assert sentence in result.error
    assert result.hint
    assert contents(root) == before


def test_an_expired_authority_is_refused(pkigen: InProcess, spec: Path, made: Path, tmp_path: Path) -> None:
    bring(made, tmp_path / "brought")
    pkigen.now += timedelta(days=4000)
    result = pkigen("init", spec, "-C", tmp_path / "brought")
    assert result.code == 1
    assert "it expired 2036-" in result.error


def test_leaves_are_shortened_to_their_ca_and_that_is_said(
    pkigen: InProcess, spec: Path, made: Path, tmp_path: Path
) -> None:
    bring(made, tmp_path / "brought")
    pkigen.now += timedelta(days=3500)
    result = pkigen("init", spec, "-C", tmp_path / "brought")
    assert result.code == 0
    assert "shortened to its CA's validity: cp-1/apiserver" in result.out


def test_files_of_others_are_not_overwritten(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    root = tmp_path / "home"
    manifest = root / "nodes/cp-1/etc/kubernetes/manifests/etcd.yaml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("mine")
    result = pkigen("init", spec, "-C", root)
    assert (result.code, result.out) == (1, "")
    assert (
        "holds files that pkigen did not write: nodes/cp-1/etc/kubernetes/manifests/etcd.yaml" in result.error
    )
    assert contents(root) == {"nodes/cp-1/etc/kubernetes/manifests/etcd.yaml": b"mine"}


def test_the_same_spec_twice_makes_different_keys_and_the_same_rest(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert pkigen("init", spec, "-C", other).code == 0
    one, two = contents(tree), contents(other)
    assert one.keys() == two.keys()
    same = one.keys() - changed(one, two)
    assert {"nodes/cp-1/etc/kubernetes/manifests/etcd.yaml"} <= same
    assert not any(name.endswith((".key", ".crt", ".conf")) for name in same)


def test_a_copied_tree_is_complete(pkigen: InProcess, spec: Path, made: Path, tmp_path: Path) -> None:
    root = copy_of(made / "home", tmp_path / "copied")
    assert "nothing to do" in pkigen("init", spec, "-C", root).out


CFSSL_NAMES = {"ca.pem": "ca.crt", "ca-key.pem": "ca.key"}


def test_a_ca_under_names_that_are_not_read_is_told(
    pkigen: InProcess, spec: Path, made: Path, tmp_path: Path
) -> None:
    root = tmp_path / "brought"
    (root / "pki").mkdir(parents=True)
    for name, read in CFSSL_NAMES.items():
        shutil.copy(made / "home/pki" / read, root / "pki" / name)
    before = contents(root)
    result = pkigen("init", spec, "-C", root)
    assert (result.code, result.out) == (1, "")
    assert "pki/ca-key.pem, pki/ca.pem: not read under this name" in result.error
    assert "rename pki/ca-key.pem to pki/ca.key, pki/ca.pem to pki/ca.crt" in result.hint
    assert contents(root) == before
    for name, read in CFSSL_NAMES.items():
        (root / "pki" / name).rename(root / "pki" / read)
    (root / "pki/NOTES").write_text("from the safe")
    result = pkigen("init", spec, "-C", root)
    assert result.code == 0, result.err
    assert "note: pki/NOTES is not read" in result.err


def test_two_roots_in_one_file_are_a_rotation_under_way(
    pkigen: InProcess, spec: Path, made: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    assert pkigen("init", spec, "-C", old).code == 0
    root = tmp_path / "brought"
    bring(made, root)
    pki = root / "pki"
    (pki / "ca.crt").write_bytes((pki / "ca.crt").read_bytes() + (old / "pki/ca.crt").read_bytes())
    result = pkigen("init", spec, "-C", root)
    assert "the file holds two roots" in result.error
    assert "move the other to pki/ca-previous.crt, and its key beside it" in result.hint
    shutil.copy(made / "home/pki/ca.crt", pki / "ca.crt")
    shutil.copy(old / "pki/ca.crt", pki / "ca-previous.crt")
    shutil.copy(old / "pki/ca.key", pki / "ca-previous.key")
    result = pkigen("init", spec, "-C", root)
    assert result.code == 0, result.err
    assert (root / "nodes/cp-1/etc/kubernetes/pki/ca.crt").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert pkigen("verify", "-C", root).code == 0


@pytest.mark.parametrize(
    ("moved", "said", "ways"),
    [
        (
            timedelta(days=4000),
            "it expired 2036-",
            ("`pkigen rescue` renews", "this machine's clock says 2037-"),
        ),
        (-timedelta(days=30), "it is not valid before", ("this machine's clock says 2026-",)),
    ],
)
def test_the_way_out_of_a_validity_is_never_a_new_ca(
    pkigen: InProcess,
    spec: Path,
    made: Path,
    tmp_path: Path,
    moved: timedelta,
    said: str,
    ways: tuple[str, ...],
) -> None:
    root = tmp_path / "home"
    shutil.copytree(made / "home", root)
    pkigen.now += moved
    for command in (("plan",), ("apply",), ("renew",), ("renew", "ca"), ("rotate", "ca", "kubernetes")):
        result = pkigen(*command, spec, "-C", root)
        told = unaddressed(result.error + result.hint)
        assert said in told, command
        assert all(way in told for way in ways), command
        assert "away" not in told


def test_the_first_table_says_what_was_issued(
    pkigen: InProcess, spec: Path, made: Path, tmp_path: Path
) -> None:
    bring(made, tmp_path / "brought")
    pkigen.now += timedelta(days=3640)
    result = pkigen("init", spec, "-C", tmp_path / "brought")
    assert result.code == 0
    [line] = [line for line in result.out.splitlines() if line.startswith("cp-1 ")]
    assert line.split()[-1] == "10d"
