from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.cli.reports.structured import bound
from pkigen.cli.system import System
from pkigen.state.ledger import Event, lines_of
from pkigen.store import OsFileSystem
from tests.cli.program import DAY, HOME, InProcess, changed, contents, copy_of, photograph

if TYPE_CHECKING:
    from collections.abc import Callable

TWO = HOME.replace(
    "  users:", "    - name: worker-1\n      roles: [worker]\n      addresses: [10.0.0.21]\n  users:"
)
MOVED = HOME.replace("10.0.0.11", "10.0.0.12")
API_SERVER = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives the answer that a person types."""

    def answer(text: str) -> None:
        import io  # noqa: PLC0415

        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return answer


def test_nothing_to_plan(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = photograph(tree)
    result = pkigen("plan", spec, "-C", tree, "--exit-code")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("nothing to do, ")
    assert photograph(tree) == before


def test_a_plan_for_a_directory_that_is_not_there(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    for command in ("plan", "apply", "renew", "rescue", "status", "verify"):
        result = pkigen(command, spec, "-C", tmp_path / "new")
        assert (result.code, result.error) == (1, f"{tmp_path}/new does not exist")
    (tmp_path / "new").mkdir()
    for command in ("plan", "apply", "renew", "rescue", "status", "verify"):
        result = pkigen(command, spec, "-C", tmp_path / "new")
        assert (result.code, result.error) == (
            2,
            f"{tmp_path}/new is no cluster's directory: it has no pki.lock",
        )
        assert f"`pkigen init {spec} -C {tmp_path}/new` makes a new one there" in result.hint
    assert list((tmp_path / "new").iterdir()) == []


def test_a_plan_names_reasons_and_details(pkigen: InProcess, spec: Path, tree: Path) -> None:
    spec.write_text(MOVED)
    before = photograph(tree)
    result = pkigen("plan", spec, "-C", tree)
    assert result.code == 0
    assert "  ! reissue apiserver on cp-1: SANs + 10.0.0.12 - 10.0.0.11, valid until " in result.out
    full = pkigen("plan", spec, "-C", tree, "--full").out
    assert "! reissue cp-1/apiserver (sans-changed)\n    SANs + 10.0.0.12 - 10.0.0.11\n" in full
    assert "after this is on the nodes:" in result.out
    assert "kube-apiserver" in result.out
    assert pkigen("plan", spec, "-C", tree, "--exit-code").code == 3
    assert photograph(tree) == before


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_structured_plan(
    pkigen: InProcess, spec: Path, tree: Path, form: str, read: Callable[[str], Any]
) -> None:
    spec.write_text(MOVED)
    result = pkigen("plan", spec, "-C", tree, "-o", form, "--exit-code")
    assert (result.code, result.err) == (3, "")
    content = read(result.out)
    assert (content["apiVersion"], content["kind"], content["cluster"]) == ("pkigen/v1", "Plan", "home")
    assert content["summary"]["reissue"] >= 3
    api_server = next(action for action in content["actions"] if action["id"] == "cp-1/apiserver")
    assert (api_server["action"], api_server["reason"], api_server["node"]) == (
        "reissue",
        "sans-changed",
        "cp-1",
    )
    assert api_server["certificate"]["issuer"] == "ca"
    assert {step["node"] for step in content["restarts"]} == {"cp-1"}
    keys = {
        "node",
        "component",
        "effect",
        "files",
        "commands",
        "member",
        "removes",
        "copiesInTurn",
        "sentence",
    }
    assert content["restarts"][0].keys() == keys
    assert content["leftovers"] == []


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b""), "unreadable"),
        (lambda path: path.chmod(0o666), "mode"),
    ],
)
def test_what_is_wrong_on_disk_is_planned_and_repaired(
    pkigen: InProcess, spec: Path, tree: Path, disturb: Callable[[Path], None], reason: str
) -> None:
    disturb(tree / API_SERVER)
    content = pkigen("plan", spec, "-C", tree, "-o", "json").json
    assert [(action["id"], action["reason"]) for action in content["actions"]] == [("cp-1/apiserver", reason)]
    assert pkigen("verify", "-C", tree).code == 4
    result = pkigen("apply", spec, "-C", tree, "--yes")
    assert (result.code, result.err) == (0, "")
    assert pkigen("plan", spec, "-C", tree, "--exit-code").code == 0
    assert pkigen("verify", "-C", tree).code == 0


def test_apply_nothing(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = contents(tree)
    assert pkigen("apply", spec, "-C", tree).out == "nothing to do\n"
    content = pkigen("apply", spec, "-C", tree, "-o", "json").json
    assert (content["kind"], content["issued"], content["actions"]) == ("Applied", [], [])
    assert content["directory"] == str(tree)
    assert contents(tree) == before


def test_apply_asks(pkigen: InProcess, spec: Path, tree: Path, answering: Callable[[str], None]) -> None:
    spec.write_text(TWO)
    before = contents(tree)
    for answer in ("n\n", "\n", "nope\n"):
        answering(answer)
        result = pkigen("apply", spec, "-C", tree)
        assert result.code == 1
        assert "+ create kubelet.conf on worker-1" in result.out
        assert "apply these changes? [y/N]:" in result.err
        assert (result.error, result.hint) == ("not applied", "nothing was changed")
        assert contents(tree) == before
    answering("")
    result = pkigen("apply", spec, "-C", tree)
    assert (result.code, result.hint) == (1, "add --yes to continue without asking")
    assert contents(tree) == before
    answering("y\n")
    result = pkigen("apply", spec, "-C", tree)
    assert result.code == 0
    assert "applied: " in result.out
    assert (tree / "nodes/worker-1/etc/kubernetes/kubelet.conf").exists()
    shared = contents(tree)
    assert changed(before, shared) == {name for name in shared if "worker-1" in name} | {"pki.lock"}


def test_nodes_that_leave_go_to_the_backup(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = contents(tree)
    spec.write_text(TWO)
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    spec.write_text(HOME)
    plan = pkigen("plan", spec, "-C", tree).out
    assert "- remove nodes/worker-1: node worker-1 is not in the spec" in plan
    content = pkigen("apply", spec, "-C", tree, "--yes", "-o", "json").json
    assert contents(tree) == before | {"pki.lock": contents(tree)["pki.lock"]}
    kept = tree / ".pkigen/backups" / content["backup"]
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert (kept / "files/nodes/worker-1/etc/kubernetes/kubelet.conf").exists()
    assert pkigen("verify", "-C", tree).code == 0


def test_structured_output_and_a_question(
    pkigen: InProcess, spec: Path, tree: Path, answering: Callable[[str], None]
) -> None:
    spec.write_text(TWO)
    answering("yes\n")
    result = pkigen("apply", spec, "-C", tree, "-o", "json")
    assert result.json["kind"] == "Applied"
    assert "worker-1/kubelet.conf" in result.json["issued"]
    assert "+ create kubelet.conf on worker-1" in result.err


def test_a_saved_plan_is_applied(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    spec.write_text(TWO)
    saved = tmp_path / "plan.json"
    result = pkigen("plan", spec, "-C", tree, "--save", saved)
    assert result.code == 0
    assert result.err == f"saved: apply exactly this plan with `pkigen apply {saved} {spec} -C {tree}`\n"
    assert json.loads(saved.read_text())["kind"] == "Plan"
    assert list(tmp_path.glob(".plan.json*")) == []
    result = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (result.code, result.err) == (0, "")
    again = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert again.code == 1
    assert again.error == "the saved plan was carried out already, at 2026-11-22T03:00:00Z"
    (line,) = lines_of((tree / ".pkigen/ledger.jsonl").read_bytes(), Event.AGREED)
    assert line["digest"] == json.loads(saved.read_text())["digest"]


@pytest.mark.parametrize(
    "move",
    [
        lambda spec, _: spec.write_text(TWO.replace("10.0.0.21", "10.0.0.22")),
        lambda spec, _: spec.write_text(HOME),
        lambda _, tree: (tree / API_SERVER).unlink(),
        lambda _, tree: (tree / MANIFEST).write_text("other"),
        lambda _, tree: (tree / MANIFEST).chmod(0o640),
    ],
)
def test_a_saved_plan_is_refused_when_the_world_has_moved(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path, move: Callable[[Path, Path], None]
) -> None:
    spec.write_text(TWO)
    saved = tmp_path / "plan.json"
    assert pkigen("plan", spec, "-C", tree, "--save", saved).code == 0
    move(spec, tree)
    before = contents(tree)
    result = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (result.code, result.out) == (1, "")
    assert "the saved plan is stale" in result.error
    assert "pkigen plan --save" in result.hint
    assert contents(tree) == before


def test_a_saved_plan_is_bound_to_its_templates(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    """What a file is created with stands in no action."""
    spec.write_text(TWO)
    saved, mine = tmp_path / "plan.json", tmp_path / "mine"
    override = mine / "kubelet/config.yaml.j2"
    override.parent.mkdir(parents=True)
    override.write_text('{% extends "pkigen/kubelet/config.yaml.j2" %}\n')
    assert pkigen("plan", spec, "-C", tree, "--save", saved, "--templates", mine).code == 0
    before = contents(tree)
    result = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert "the saved plan is stale" in result.error
    override.write_text('{% extends "pkigen/kubelet/config.yaml.j2" %}{# edited #}\n')
    result = pkigen("apply", spec, "-C", tree, saved, "--yes", "--templates", mine)
    assert "the saved plan is stale" in result.error
    assert contents(tree) == before
    override.write_text('{% extends "pkigen/kubelet/config.yaml.j2" %}\n')
    result = pkigen("apply", spec, "-C", tree, saved, "--yes", "--templates", mine)
    assert (result.code, result.err) == (0, "")


def test_a_saved_plan_of_another_directory_or_another_day(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert pkigen("init", spec, "-C", other).code == 0
    spec.write_text(TWO)
    saved = tmp_path / "plan.json"
    assert pkigen("plan", spec, "-C", tree, "--save", saved).code == 0
    for root, days in ((other, 0), (tree, 340)):
        before = contents(root)
        pkigen.now += days * DAY
        result = pkigen("apply", spec, "-C", root, saved, "--yes")
        assert (result.code, result.out) == (1, "")
        assert "the saved plan is stale: now there would be another one: " in result.error
        assert contents(root) == before


def test_a_saved_plan_holds_wherever_the_directory_lies(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that cannot be read has the directory in its message, which is no part of the plan."""
    (tree / MANIFEST).unlink()
    (tree / MANIFEST).symlink_to("/etc/passwd")
    (tree / API_SERVER).write_bytes(b"")
    saved = tmp_path / "plan.json"
    monkeypatch.chdir(tree.parent)
    assert pkigen("plan", spec, "-C", tree.name, "--save", saved).code == 0
    assert str(tmp_path) not in saved.read_text()
    copy = tmp_path / "elsewhere/copy"
    copy.parent.mkdir()
    copy_of(tree, copy)
    for root in (copy, tree):
        result = pkigen("apply", spec, "-C", root, saved)
        assert "the saved plan" not in result.err
        assert "add --yes" in result.hint


CREATED = "2026-11-22T03:00:00Z"


def _without_first_action(content: dict[str, Any]) -> None:
    content["actions"] = content["actions"][1:]


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(actions=[]),
        _without_first_action,
        lambda content: content["actions"][0].update(reason="expired"),
        lambda content: content["actions"][0].update(paths=[]),
        lambda content: content.update(restarts=[]),
        lambda content: content.update(risks=["none"]),
        lambda content: content["summary"].update(keep=0),
        lambda content: content.update(cluster="other"),
        lambda content: content.update(observed=[]),
        lambda content: content.update(request={"number": "1", "created": CREATED, "certificates": []}),
        lambda content: content.update(waiting=content["actions"][:1]),
    ],
)
@pytest.mark.parametrize("is_signed_again", [False, True])
def test_a_saved_plan_is_bound_to_every_field_that_was_reviewed(
    edit: Callable[[dict[str, Any]], object],
    pkigen: InProcess,
    spec: Path,
    tree: Path,
    tmp_path: Path,
    *,
    is_signed_again: bool,
) -> None:
    spec.write_text(TWO)
    saved = tmp_path / "plan.json"
    assert pkigen("plan", spec, "-C", tree, "--save", saved).code == 0
    content = json.loads(saved.read_text())
    edit(content)
    saved.write_text(json.dumps(bound(content) if is_signed_again else content))
    before = contents(tree)
    result = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert result.code == 1
    said = "the saved plan is stale" if is_signed_again else f"{saved} was changed after it was saved"
    assert said in result.error
    assert contents(tree) == before


def test_a_stale_plan_says_what_moved(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    spec.write_text(TWO)
    saved = tmp_path / "plan.json"
    assert pkigen("plan", spec, "-C", tree, "--save", saved).code == 0
    (tree / API_SERVER).unlink()
    result = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert "now there would be another one: cp-1/apiserver: nothing → create (missing)" in result.error
    assert re.search(r"^changed since: nodes/cp-1: [0-9a-f]{32} → [0-9a-f]{32}$", result.err, re.MULTILINE)


def test_files_that_are_no_saved_plan(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    spec.write_text(TWO)
    path = tmp_path / "plan.json"
    before = contents(tree)
    for content in (b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b'{"digest": null}', b"1"):
        path.write_bytes(content)
        result = pkigen("apply", spec, "-C", tree, path, "--yes")
        assert result.code in {1, 2}, content
        assert str(path) in result.error or "the saved plan is stale" in result.error
    result = pkigen("apply", spec, "-C", tree, tmp_path / "nope", "--yes")
    assert (result.code, result.error) == (2, f"{tmp_path}/nope cannot be read: no such file or directory")
    assert pkigen("apply", spec, "-C", tree, tmp_path, "--yes").code == 2
    with path.open("wb") as sparse:
        sparse.truncate(1 << 29)
    assert "too large" in pkigen("apply", spec, "-C", tree, path, "--yes").error
    assert contents(tree) == before


def test_a_plan_that_cannot_be_saved(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    spec.write_text(TWO)
    for path in (tmp_path / "no/plan.json", tmp_path):
        result = pkigen("plan", spec, "-C", tree, "--save", path)
        assert result.code == 1
        assert f"{path} cannot be written: " in result.error


def test_dangerous_plans_need_force(pkigen: InProcess, spec: Path, tree: Path) -> None:
    for name in ("ca.crt", "ca.key"):
        (tree / "pki" / name).unlink()
    before = contents(tree)
    result = pkigen("apply", spec, "-C", tree, "--yes")
    assert result.code == 1
    assert result.error.startswith("the plan is dangerous: it makes a new ca CA")
    assert "--force" in result.hint
    assert "risk: it makes a new ca CA" in result.out
    assert contents(tree) == before
    result = pkigen("apply", spec, "-C", tree, "--yes", "--force")
    assert (result.code, result.err) == (0, "")
    assert pkigen("verify", "-C", tree).code == 0


def test_more_than_half_of_the_leaves_is_dangerous_unless_they_expire(
    pkigen: InProcess, spec: Path, tree: Path
) -> None:
    spec.write_text(HOME.replace("  users:", "  certificates:\n    keyAlgorithm: RSA-2048\n  users:"))
    result = pkigen("apply", spec, "-C", tree, "--yes")
    assert result.code == 1
    assert "for a reason other than expiry (algorithm-changed)" in result.error
    spec.write_text(HOME)
    pkigen.now += 350 * DAY
    result = pkigen("apply", spec, "-C", tree, "--yes")
    assert result.code == 0
    assert "~ renew (expires-soon)" in result.out


def test_a_new_service_account_key_is_dangerous(pkigen: InProcess, spec: Path, tree: Path) -> None:
    (tree / "pki/sa.key").unlink()
    (tree / "pki/sa.pub").unlink()
    result = pkigen("apply", spec, "-C", tree, "--yes")
    assert result.code == 1
    assert "service account key" in result.error


def test_runbooks(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    spec.write_text(MOVED)
    for command, folder in (("plan", tmp_path / "a/b"), ("apply", tmp_path / "c")):
        arguments = ["--yes"] if command == "apply" else []
        result = pkigen(command, spec, "-C", tree, "--runbook", folder, *arguments)
        assert result.code == 0, result.err
        assert result.err == f"runbook: {folder}/restart.txt and restart.sh\n"
        assert (folder / "restart.txt").read_text().startswith("cluster home, one step after the other:\n")
        assert stat.S_IMODE((folder / "restart.sh").stat().st_mode) == 0o755
    spec.write_text(HOME)
    (tmp_path / "file").write_text("")
    result = pkigen("plan", spec, "-C", tree, "--runbook", tmp_path / "file")
    assert result.code == 1
    assert f"{tmp_path}/file cannot be made: " in result.error


def test_what_the_system_refuses_to_read_is_not_replaced(pkigen: InProcess, spec: Path, tree: Path) -> None:
    """An I/O error says nothing about what a file holds, and a passing one must not cost a CA."""
    before = contents(tree)
    for path in ("pki/ca.crt", API_SERVER, MANIFEST, "pki.lock"):

        class Refusing(OsFileSystem):
            def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
                if name == Path(path).name and not flags & os.O_DIRECTORY:  # noqa: B023 -- used at once
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return super().open(name, flags, mode, dir_fd)

        system = System(clock=lambda: pkigen.now, filesystem=Refusing())
        for command in ("init", "plan", "apply", "renew"):
            options = [] if command in {"init", "plan"} else ["--yes"]
            result = pkigen(command, spec, "-C", tree, *options, system=system)
            assert (result.code, result.out) == (1, ""), result
            assert f"{tree}/" in result.error
            assert f"{Path(path).name}: input/output error" in result.error
            assert "dmesg" in result.hint
    assert contents(tree) == before


def test_apply_saves_what_plan_saves(pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path) -> None:
    spec.write_text(HOME.replace("groups: [dev]", "groups: [ops]"))
    first, second, before = tmp_path / "first.json", tmp_path / "second.json", contents(tree)
    assert pkigen("plan", spec, "-C", tree, "--save", first).code == 0
    assert pkigen("apply", spec, "-C", tree, "--save", second).code == 0
    assert first.read_text() == second.read_text()
    assert contents(tree) == before
    refused = pkigen("apply", first, "-C", tree, "--save", second)
    assert (refused.code, refused.hint) == (2, f"`pkigen show {first} -C {tree}` shows it")
    assert pkigen("apply", first, spec, "-C", tree, "--yes").code == 0
