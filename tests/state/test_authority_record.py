from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.state.authority_record import AuthorityDifference, compare
from tests.cli.program import DAY, HOME, NOW, InProcess, contents, copy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENCRYPTED = HOME.replace("  users:", "  encryption: {}\n  users:")


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "home.yaml"
    path.write_text(ENCRYPTED)
    return path


@pytest.fixture
def tree(spec: Path, tmp_path: Path, pkigen: InProcess) -> Path:
    assert pkigen("init", spec, "-C", tmp_path / "home").code == 0
    return tmp_path / "home"


@pytest.fixture
def other(spec: Path, tmp_path: Path, pkigen: InProcess) -> Path:
    """Another cluster's directory of the same spec."""
    assert pkigen("init", spec, "-C", tmp_path / "other").code == 0
    return tmp_path / "other"


def apply(pkigen: InProcess, spec: Path, tree: Path, *options: str) -> tuple[int, str]:
    done = pkigen("apply", spec, "-C", tree, "--yes", *options)
    return int(done.code), done.error


OBJECTS = {
    "ca": ("ca.crt", "ca.key"),
    "etcd-ca": ("etcd/ca.crt", "etcd/ca.key"),
    "front-proxy-ca": ("front-proxy-ca.crt", "front-proxy-ca.key"),
    "sa": ("sa.key", "sa.pub"),
    "encryption-key": ("encryption.key",),
    "bundle-key": ("bundle.key",),
}


@pytest.mark.parametrize("files", OBJECTS.values(), ids=OBJECTS)
def test_what_is_replaced_is_named_and_needs_force(
    files: tuple[str, ...], tree: Path, other: Path, spec: Path, pkigen: InProcess
) -> None:
    for name in files:
        shutil.copy(other / "pki" / name, tree / "pki" / name)
    before = contents(tree)
    shown = pkigen("plan", spec, "-C", tree)
    assert f"risk: pki/{files[0]} was replaced: it is " in shown.out
    content = pkigen("plan", spec, "-C", tree, "-o", "json").json["authority"]
    assert [(each["path"], each["difference"]) for each in content["changes"]] == [
        (f"pki/{files[0]}", "replaced")
    ]
    for words in (("apply", spec), ("renew", spec, "--all"), ("rotate", "sa", spec)):
        refused = pkigen(*words, "-C", tree, "--yes")
        assert refused.code == 1
        assert f"pki/{files[0]} was replaced" in refused.error + refused.out
        assert contents(tree) == before
    assert f"pki/{files[0]}: changed-authority" in pkigen("verify", "-C", tree).out
    assert apply(pkigen, spec, tree, "--force")[0] == 0
    assert apply(pkigen, spec, tree) == (0, "")
    assert "changed-authority" not in pkigen("verify", "-C", tree).out


def test_a_checkout_of_the_lock_file_alone_is_no_new_cluster(
    tree: Path, spec: Path, tmp_path: Path, pkigen: InProcess
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(tree / "pki.lock", checkout)
    before = contents(checkout)
    code, error = apply(pkigen, spec, checkout)
    assert code == 1
    assert "pki/ holds no authority, and pki.lock records one (pki/bundle.key sha256:" in error
    assert "this makes a NEW authority" in error
    assert contents(checkout) == before
    assert apply(pkigen, spec, checkout, "--force")[0] == 0
    assert apply(pkigen, spec, checkout) == (0, "")


def test_an_empty_directory_says_that_the_authority_is_new(
    spec: Path, tmp_path: Path, pkigen: InProcess
) -> None:
    said = pkigen("init", spec, "-C", tmp_path / "new", "--dry-run")
    assert said.code == 0
    assert "this makes a NEW authority: there is none here, and none is recorded" in said.out
    assert pkigen("init", spec, "-C", tmp_path / "new").code == 0
    assert "NEW authority" not in pkigen("apply", spec, "-C", tmp_path / "new", "--yes").out


def test_a_restored_backup_is_older(tree: Path, spec: Path, tmp_path: Path, pkigen: InProcess) -> None:
    copy_of(tree, tmp_path / "backup")
    for step in ("prepare", "promote", "finish"):
        words = ("rotate", "ca", "etcd", spec, "-C", tree, "--yes", "--phase", step)
        assert pkigen(*words, "--assume-distributed").code == 0
    for name in ("ca.crt", "ca.key"):
        shutil.copy(tmp_path / "backup/pki/etcd" / name, tree / "pki/etcd" / name)
    before = contents(tree)
    code, error = apply(pkigen, spec, tree)
    assert code == 1
    assert (
        "risk: pki/etcd/ca.crt is older than what the ledger records" in pkigen("plan", spec, "-C", tree).out
    )
    assert contents(tree) == before
    # The ledger went back with it: pki.lock, which is in Git, knows more.
    shutil.copy(tmp_path / "backup/.pkigen/ledger.jsonl", tree / ".pkigen/ledger.jsonl")
    shown = pkigen("plan", spec, "-C", tree).out
    assert "risk: .pkigen/ledger.jsonl is older than what pki.lock records" in shown
    assert "risk: pki/etcd/ca.crt is older than what pki.lock records" in shown
    assert apply(pkigen, spec, tree)[0] == 1
    assert error


def test_a_planted_generation_is_named(tree: Path, other: Path, spec: Path, pkigen: InProcess) -> None:
    shutil.copy(other / "pki/ca.crt", tree / "pki/ca-previous.crt")
    code, error = apply(pkigen, spec, tree)
    assert code == 1
    assert "pki/ca-previous.crt is new" in error


def strip(tree: Path) -> None:
    """Leave a lock file and a ledger as an older pkigen has written them."""
    lock = json.loads((tree / "pki.lock").read_text())
    del lock["authority"], lock["ledger"]
    (tree / "pki.lock").write_text(json.dumps(lock, indent=1) + "\n")
    ledger = tree / ".pkigen/ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if '"event": "recorded"' not in line))


def test_older_records_are_brought_up_without_alarm(tree: Path, spec: Path, pkigen: InProcess) -> None:
    strip(tree)
    assert "risk:" not in pkigen("plan", spec, "-C", tree).out
    assert apply(pkigen, spec, tree) == (0, "")
    lock = json.loads((tree / "pki.lock").read_text())
    assert {f"pki/{files[0]}" for files in OBJECTS.values()} == set(lock["authority"])
    assert pkigen("verify", "-C", tree).code == 0


def test_older_records_know_the_cas(tree: Path, other: Path, spec: Path, pkigen: InProcess) -> None:
    strip(tree)
    for name in ("ca.crt", "ca.key"):
        shutil.copy(other / "pki" / name, tree / "pki" / name)
    code, error = apply(pkigen, spec, tree)
    assert code == 1
    assert "pki/ca.crt was replaced" in error + pkigen("plan", spec, "-C", tree).out


def test_nothing_secret_is_recorded(tree: Path) -> None:
    written = (tree / "pki.lock").read_bytes() + (tree / ".pkigen/ledger.jsonl").read_bytes()
    for name in ("encryption.key", "bundle.key"):
        secret = (tree / "pki" / name).read_bytes().strip()
        assert secret not in written
    import base64  # noqa: PLC0415
    import hashlib  # noqa: PLC0415

    content = (tree / "pki/encryption.key").read_bytes()
    for guess in (content, content.strip(), base64.b64decode(content)):
        assert hashlib.sha256(guess).hexdigest().encode() not in written


ORDINARY: dict[str, Callable[[InProcess, Path, Path], list[tuple[object, ...]]]] = {
    "rotation": lambda _, spec, tree: [
        ("rotate", what, *ca, spec, "-C", tree, "--yes", "--phase", step, "--assume-distributed")
        for what, ca in (("ca", ("kubernetes",)), ("encryption-key", ()))
        for step in ("prepare", "promote", "rollback", "promote", "finish")
    ],
    "renewed-ca": lambda _, spec, tree: [("renew", "ca", spec, "-C", tree, "--yes")],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_changes_raise_no_alarm(name: str, tree: Path, spec: Path, pkigen: InProcess) -> None:
    for words in ORDINARY[name](pkigen, spec, tree):
        pkigen.now += DAY
        assert pkigen(*words).code == 0, words
        assert pkigen("plan", spec, "-C", tree, "-o", "json").json["authority"]["changes"] == []
    assert pkigen.now > NOW
    assert pkigen("verify", "-C", tree).code == 0


def test_a_brought_ca_is_taken_up(spec: Path, other: Path, tmp_path: Path, pkigen: InProcess) -> None:
    place = tmp_path / "brought"
    (place / "pki").mkdir(parents=True, mode=0o700)
    for name in ("ca.crt", "ca.key"):
        shutil.copy(other / "pki" / name, place / "pki" / name)
    said = pkigen("init", spec, "-C", place, "--dry-run")
    assert (said.code, "NEW authority" in said.out) == (0, False)
    assert pkigen("init", spec, "-C", place).code == 0


def test_the_comparison() -> None:
    recorded = {"a": "1", "b": "1", "c": "1", "d": "1"}
    found = {"a": "1", "b": "2", "c": "3", "e": "1"}
    changes = {
        change.path: change.difference
        for change in compare(recorded, found, earlier={"c": {"3", "1"}}, witness="the ledger")
    }
    assert changes == {
        "b": AuthorityDifference.REPLACED,
        "c": AuthorityDifference.OLDER,
        "d": AuthorityDifference.MISSING,
        "e": AuthorityDifference.NEW,
    }


def test_init_takes_no_other_authority_for_its_own(
    tree: Path, other: Path, spec: Path, pkigen: InProcess
) -> None:
    (tree / "pki.lock").unlink()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(other / "pki" / name, tree / "pki" / name)
    before = contents(tree)
    refused = pkigen("init", spec, "-C", tree)
    assert "the authority is not the one that is recorded: pki/ca.crt was replaced" in refused.error
    assert contents(tree) == before
