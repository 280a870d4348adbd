"""What a change did, and asks of the nodes, can be had again as long as its backup is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.program import DAY, HOME, InProcess, photograph

if TYPE_CHECKING:
    from pathlib import Path

LARGER = HOME.replace("  users:", "    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}\n  users:")
RENAMED = LARGER.replace("  nodes:", "  apiServer: {certSANs: [api.example.com]}\n  nodes:")


def asked_again(pkigen: InProcess, tree: Path, *arguments: str) -> dict[str, Any]:
    before = photograph(tree)
    result = pkigen("show", *arguments, "-C", tree, "-o", "json")
    assert (result.code, result.err) == (0, "")
    assert photograph(tree) == before
    content: dict[str, Any] = result.json
    return content


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("apply",), LARGER),
        (("apply",), RENAMED),
        (("apply",), HOME.replace("  nodes:", "  runtime: systemd\n  nodes:")),
        (("renew", "--all"), HOME),
        (("rotate", "ca", "kubernetes"), HOME),
    ],
    ids=["a node more", "another name too", "another runtime", "renew", "rotate"],
)
def test_a_change_asks_for_the_same_again(
    pkigen: InProcess, tree: Path, spec: Path, command: tuple[str, ...], text: str
) -> None:
    spec.write_text(text)
    verb, *more = command
    arguments = (verb, spec, *more) if verb == "renew" else (*command, spec)
    done = pkigen(*arguments, "-C", tree, "--yes", "-o", "json").json
    again = asked_again(pkigen, tree)
    assert again["restarts"] == done["restarts"] != []
    assert again["leftovers"] == done["leftovers"]
    (change,) = again["changes"]
    assert change["backup"] == done["backup"]
    assert change["command"].startswith(verb)
    files = {each["path"]: each["action"] for each in again["files"]}
    assert files.pop("cluster.yaml", "rewrite") == "rewrite"
    assert files.keys() == {
        path for action in done["actions"] for path in action["paths"] if action["action"] != "keep"
    }


def test_a_bundle_in_another_order_asks_for_nothing_again(pkigen: InProcess, tree: Path, spec: Path) -> None:
    step = ("rotate", "ca", "kubernetes", "etcd", spec, "-C", tree, "--yes", "-o", "json", "--phase")
    first = pkigen(*step, "prepare").json
    done = pkigen(*step, "promote", "--assume-distributed").json
    assert asked_again(pkigen, tree)["restarts"] == done["restarts"]
    # Since before the first step the bundles have other certificates, not only another order.
    both = asked_again(pkigen, tree, first["backup"])["restarts"]
    effects = {each["component"]: each["effect"] for each in both}
    assert effects["etcd"] == "restart"
    assert {each["component"]: each["effect"] for each in done["restarts"]}["etcd"] == "reloads by itself"


def test_several_changes_count_as_one(pkigen: InProcess, tree: Path, spec: Path) -> None:
    done = []
    for text in (LARGER, RENAMED, LARGER):
        pkigen.now += DAY
        spec.write_text(text)
        done.append(pkigen("apply", spec, "-C", tree, "--yes", "-o", "json").json)
    first = done[0]["backup"]
    everything = asked_again(pkigen, tree, first)
    assert [each["backup"] for each in everything["changes"]] == [each["backup"] for each in reversed(done)]
    steps = [(step["node"], step["component"], step["effect"]) for step in everything["restarts"]]
    assert steps == [
        ("cp-1", "kube-apiserver", "reloads by itself"),
        ("worker-1", "kubelet", "starts for the first time"),
    ]
    # The last change alone started nothing.
    assert [step["component"] for step in asked_again(pkigen, tree)["restarts"]] == ["kube-apiserver"]


def test_as_text_and_as_a_runbook(pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path) -> None:
    spec.write_text(LARGER)
    assert pkigen("apply", spec, "-C", tree, "--yes", "--runbook", tmp_path / "first").code == 0
    result = pkigen("show", "-C", tree, "--runbook", tmp_path / "again")
    assert result.code == 0
    assert "  + nodes/worker-1/etc/kubernetes/kubelet.conf\n" in result.out
    assert "  1. worker-1: kubelet starts for the first time\n" in result.out
    assert "pki.lock" not in result.out
    for name in ("restart.txt", "restart.sh"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "first" / name).read_text()


def test_what_is_not_there(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    result = pkigen("show", "-C", tree)
    assert (result.code, result.error) == (2, f"{tree} has no backup")
    assert pkigen("show", "-C", tmp_path / "nowhere").code == 1
    assert pkigen("show", "20000101T000000Z", "-C", tree).code == 2
