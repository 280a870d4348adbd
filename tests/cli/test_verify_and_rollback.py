from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.program import DAY, HOME, InProcess, contents, photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = "nodes/cp-1/etc/kubernetes"


def test_a_good_tree(pkigen: InProcess, tree: Path) -> None:
    before = photograph(tree)
    result = pkigen("verify", "-C", tree)
    assert (result.code, result.err) == (0, "")
    assert re.fullmatch(r"3\d objects, 1\d TLS edges, 0 findings\n", result.out)
    assert photograph(tree) == before


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_structured(pkigen: InProcess, tree: Path, form: str) -> None:
    content = yaml.safe_load(pkigen("verify", "-C", tree, "-o", form).out)
    assert (content["kind"], content["findings"]) == ("Verification", [])
    assert content["objects"] > 30
    (tree / NODE / "pki/apiserver.key").write_bytes((tree / NODE / "pki/sa.key").read_bytes())
    result = pkigen("verify", "-C", tree, "-o", form)
    assert result.code == 4
    (found, *_) = yaml.safe_load(result.out)["findings"]
    assert found == {
        "subject": "cp-1/apiserver",
        "reason": "key-mismatch",
        "detail": "private key does not match the certificate's ECDSA-P256 key",
    }


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda tree: (tree / NODE / "pki/apiserver.crt").unlink(), "missing"),
        (lambda tree: (tree / NODE / "pki/apiserver.key").chmod(0o644), "mode"),
        (lambda tree: (tree / NODE / "manifests/etcd.yaml").write_text("x"), "content-changed"),
        (lambda tree: (tree / NODE / "pki/ca.crt").write_bytes(b""), "content-changed"),
        (lambda tree: (tree / ".pkigen/ledger.jsonl").write_text("{}\n"), "ledger"),
        (lambda tree: (tree / ".pkigen/ledger.jsonl").unlink(), "missing"),
    ],
)
def test_findings(pkigen: InProcess, tree: Path, harm: Callable[[Path], None], reason: str) -> None:
    harm(tree)
    result = pkigen("verify", "-C", tree)
    assert result.code == 4
    assert f": {reason}" in result.out
    assert not result.out.endswith(" 0 findings\n")


def test_expiry_is_a_finding(pkigen: InProcess, tree: Path) -> None:
    pkigen.now += 366 * DAY
    result = pkigen("verify", "-C", tree)
    assert result.code == 4
    assert "cp-1/apiserver: expired: " in result.out


# -- rollback -----------------------------------------------------------------------------------------


@pytest.fixture
def grown(pkigen: InProcess, tree: Path, spec: Path) -> list[dict[str, bytes]]:
    """The tree before and after each of three changes."""
    states = [contents(tree)]
    for number, change in enumerate(("renew", "apply", "renew")):
        pkigen.now += DAY
        if change == "apply":
            spec.write_text(HOME.replace("name: dev1", "name: dev2"))
        what = ["apiserver"] if change == "renew" else []
        assert pkigen(change, spec, *what, "-C", tree, "--yes").code == 0, number
        states.append(contents(tree))
    return states


def without_lock(state: dict[str, bytes]) -> dict[str, bytes]:
    """The lock file names the ledger's end, which only grows."""
    return {name: data for name, data in state.items() if name != "pki.lock"}


def backups(pkigen: InProcess, tree: Path) -> list[list[str]]:
    lines = pkigen("rollback", "-C", tree, "--list").out.splitlines()
    assert lines[0].split() == ["ID", "LEFT", "BY", "TIME", "FILES"]
    return [line.split() for line in lines[1:]]


def test_the_list(pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]) -> None:
    del grown
    listed = backups(pkigen, tree)
    assert [line[1] for line in listed] == ["renew", "apply", "renew"]
    assert [line[0] for line in listed] == sorted(line[0] for line in listed)


def test_the_newest_change_is_undone(pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]) -> None:
    result = pkigen("rollback", "-C", tree, "--yes")
    assert result.code == 0
    assert f"restore {NODE}/pki/apiserver.crt from" in result.out
    assert "note: the nodes still have their files" in result.err
    assert without_lock(contents(tree)) == without_lock(grown[2])
    assert pkigen("verify", "-C", tree).code == 0
    # It left a backup of its own: going back again undoes the rollback.
    assert pkigen("rollback", "-C", tree, "--yes").code == 0
    assert without_lock(contents(tree)) == without_lock(grown[3])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_named_backup(pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]], steps: int) -> None:
    identifier = backups(pkigen, tree)[-steps][0]
    assert pkigen("rollback", identifier, "-C", tree, "--yes").code == 0
    assert without_lock(contents(tree)) == without_lock(grown[-1 - steps])
    assert pkigen("verify", "-C", tree).code == 0
    assert (tree / "users/dev1.conf").exists() is (steps > 1)
    assert (tree / "users/dev2.conf").exists() is (steps == 1)


def test_rollback_asks(
    pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer, code in (("n\n", 1), ("", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        result = pkigen("rollback", "-C", tree)
        assert result.code == code
        assert "go back? [y/N]:" in result.err
        assert (contents(tree) == grown[-1]) is (code == 1)


def test_backups_that_are_not_there(pkigen: InProcess, tree: Path) -> None:
    result = pkigen("rollback", "-C", tree, "--yes")
    assert (result.code, result.out) == (2, "")
    assert result.error.endswith("has no backup")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is missing"), ("{", "is damaged"), ("{}", "is damaged")]
)
def test_a_damaged_backup_stands_in_nobodys_way(
    content: str | None, said: str, pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]
) -> None:
    names = [each["id"] for each in pkigen("rollback", "--list", "-C", tree, "-o", "json").json["backups"]]
    manifest = tree / f".pkigen/backups/{names[0]}/manifest.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    listed = pkigen("rollback", "--list", "-C", tree, "-o", "json").json["backups"]
    assert listed[0] == {
        "id": names[0], "command": "", "time": None, "files": [], "damage": f"{manifest} {said}",
    }  # fmt: skip
    assert all("damage" not in each for each in listed[1:])
    assert f"{names[0]}  -  " in " ".join(pkigen("rollback", "--list", "-C", tree).out.split(" "))
    assert pkigen("next", "-C", tree).code == 3
    assert pkigen("report", "-C", tree, "--out", "/dev/null").code == 0
    before = contents(tree)
    refused = pkigen("rollback", names[0], "-C", tree, "--yes")
    assert (refused.code, refused.error) == (1, f"{manifest} {said}")
    assert contents(tree) == before
    assert pkigen("rollback", "-C", tree, "--yes").code == 0
    assert len(grown) > 1


def test_an_unknown_backup(pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]) -> None:
    assert pkigen("rollback", "", "-C", tree, "--yes").code == 2
    for name in ("20200101T000000Z", "...", "../../nowhere"):
        result = pkigen("rollback", name, "-C", tree, "--yes")
        assert (result.code, result.out) == (2, "")
        assert result.error == f"there is no backup {name!r}"
    assert contents(tree) == grown[-1]


def test_a_backup_that_was_tampered_with(
    pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]
) -> None:
    newest = tree / ".pkigen/backups" / backups(pkigen, tree)[-1][0]
    kept = newest / "files" / NODE / "pki/apiserver.crt"
    kept.unlink()
    kept.symlink_to("/etc/passwd")
    result = pkigen("rollback", "-C", tree, "--yes")
    assert result.code == 1
    assert contents(tree) == grown[-1]
    (newest / "manifest.json").write_text("{")
    result = pkigen("rollback", "-C", tree, "--list")
    assert result.code in {0, 1}
    assert contents(tree) == grown[-1]


def test_a_backup_that_was_edited(pkigen: InProcess, tree: Path, grown: list[dict[str, bytes]]) -> None:
    kept = tree / ".pkigen/backups" / backups(pkigen, tree)[-1][0] / "files" / NODE / "pki/apiserver.crt"
    kept.write_bytes((tree / "pki/ca.crt").read_bytes())
    result = pkigen("rollback", "-C", tree, "--yes")
    assert result.code == 1
    assert "nodes/cp-1/etc/kubernetes/pki/apiserver.crt in backup " in result.error
    assert " is not the file that was replaced" in result.error
    assert contents(tree) == grown[-1]


def test_going_back_says_what_must_restart(pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path) -> None:
    """A rollback is a change like any other; what is in place afterwards may have other nodes."""
    worker = "    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}\n  users:"
    spec.write_text(HOME.replace("  users:", worker))
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    pkigen.now += DAY
    spec.write_text(HOME)
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    pkigen.now += DAY
    assert pkigen("renew", spec, "scheduler.conf", "-C", tree, "--yes").code == 0
    book = tmp_path / "book"
    result = pkigen("rollback", "-C", tree, "--yes", "--runbook", book)
    assert "after this is on the nodes:\n  1. cp-1: kube-scheduler must restart\n" in result.out
    assert "kube-scheduler must restart" in (book / "restart.txt").read_text()
    assert (book / "restart.sh").exists()
    result = pkigen("rollback", backups(pkigen, tree)[1][0], "-C", tree, "--yes")
    assert "worker-1: kubelet starts for the first time" in result.out
    assert pkigen("verify", "-C", tree).code == 0


def test_old_backups_are_retired(pkigen: InProcess, tree: Path, spec: Path) -> None:
    spec.write_text(HOME + "  backups:\n    keep: 2\n")
    for _ in range(4):
        pkigen.now += DAY
        assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
        assert pkigen("renew", spec, "apiserver", "-C", tree, "--yes").code == 0
    assert len(backups(pkigen, tree)) == 2
