"""What brings a change to its nodes, in which order: copies, members, restarts, removals."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.plan import Remove, Rewrite
from pkigen.reconcile.rollout import STARTING, RolloutStep, StepKind, rollout
from pkigen.state.reasons import Reason
from tests.samples import CP1, CP2, CP3, ENDPOINT, W1, spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.reconcile.plan import Action

_MANIFESTS = "etc/kubernetes/manifests"


def three(**more: Any) -> Inventory:
    return derive(spec(CP1, CP2, CP3, W1, **ENDPOINT, **more))


def rewritten(*paths: str, reason: Reason = Reason.CONTENT_CHANGED) -> list[Action]:
    return [
        Rewrite(id=path, paths=(f"nodes/{path}",), node=path.partition("/")[0], reason=reason)
        for path in paths
    ]


def on_all(path: str) -> list[str]:
    return [f"{node['name']}/{path}" for node in (CP1, CP2, CP3)]


def told(steps: tuple[RolloutStep, ...]) -> list[tuple[str, str]]:
    """What each step is about, and where."""
    names = {StepKind.COPY: "copy", StepKind.REMOVE: "remove"}
    return [
        (names.get(each.kind) or str(each.restart and each.restart.component), each.node) for each in steps
    ]


def test_manifests_come_to_one_node_after_the_other() -> None:
    """The kubelet recreates an API server as soon as its manifest arrives: never on two nodes at once."""
    changes = rewritten(*on_all(f"{_MANIFESTS}/kube-apiserver.yaml"), *on_all("etc/kubernetes/pki/sa.pub"))
    steps = rollout(three(), changes)
    nodes = [CP1["name"], CP2["name"], CP3["name"]]
    in_turn = [each for node in nodes for each in (("copy", node), ("kube-apiserver", node))]
    assert told(steps) == [*(("copy", node) for node in nodes), *in_turn]
    first, later = steps[0].copy, steps[3].copy
    assert first is not None
    assert later is not None
    assert (first.but, first.files) == (STARTING, ("/etc/kubernetes/pki/sa.pub",))
    assert (later.only, later.files) == (STARTING, (f"/{_MANIFESTS}/kube-apiserver.yaml",))
    restarted = steps[4]
    assert restarted.health is not None
    assert restarted.health.url == f"https://{CP1['addresses'][0]}:6443/readyz"
    assert restarted.process is not None
    assert restarted.process.manifest == f"/{_MANIFESTS}/kube-apiserver.yaml"


def test_members_of_etcd_get_nothing_before_their_turn() -> None:
    changes = rewritten(*on_all(f"{_MANIFESTS}/etcd.yaml"), *on_all("etc/kubernetes/pki/ca.crt"))
    steps = rollout(three(), changes)
    nodes = [CP1["name"], CP2["name"], CP3["name"]]
    assert told(steps)[:6] == [each for node in nodes for each in (("copy", node), ("etcd", node))]
    assert all(each.copy is None or not each.copy.only + each.copy.but for each in steps)


def test_kubelets_come_first_where_api_servers_begin_to_verify_them() -> None:
    changes = [
        *rewritten("cp-1/var/lib/kubelet/config.yaml", "worker-1/var/lib/kubelet/config.yaml"),
        *rewritten(f"cp-1/{_MANIFESTS}/kube-apiserver.yaml", reason=Reason.VERIFIES_KUBELETS),
    ]
    names = told(rollout(three(), changes))
    assert names == [
        ("copy", "cp-1"),
        ("copy", "worker-1"),
        ("kubelet", "cp-1"),
        ("kubelet", "worker-1"),
        ("copy", "cp-1"),
        ("kube-apiserver", "cp-1"),
    ] or names[-2:] == [("copy", "cp-1"), ("kube-apiserver", "cp-1")]


def test_what_nothing_reads_goes_last() -> None:
    gone = Remove(id="old", paths=("nodes/cp-1/etc/kubernetes/old.conf",), node="cp-1", reason=None)
    steps = rollout(three(), [gone, *rewritten("cp-1/etc/kubernetes/pki/ca.crt")])
    assert steps[-1].kind is StepKind.REMOVE
    assert steps[-1].commands == ("rm -f /etc/kubernetes/old.conf",)


def test_a_unit_is_what_runs_it() -> None:
    path = "etc/kubernetes/flags/kube-apiserver.env"
    steps = rollout(three(runtime="systemd"), rewritten(*on_all(path)))
    assert told(steps)[:2] == [("copy", "cp-1"), ("kube-apiserver", "cp-1")]
    process = steps[1].process
    assert process is not None
    assert (process.unit, process.manifest) == (ComponentName.API_SERVER, None)


def test_nodes_with_their_own_keys_get_bundles() -> None:
    inventory = three(certificates={"nodeKeys": "node"})
    steps = rollout(inventory, rewritten("worker-1/etc/kubernetes/pki/ca.crt"))
    (step,) = (each for each in steps if each.copy)
    assert step.copy is not None
    assert step.copy.is_sealed
    assert not step.copy.but
    assert "airgap bundle create --node worker-1" in step.commands[0]


def test_bundles_with_manifests_come_to_one_node_after_the_other() -> None:
    """Each with the first step of its node, of whichever component: it has that one's files, too."""
    inventory = derive(spec(*({**node, "keys": "node"} for node in (CP1, CP2, CP3)), W1, **ENDPOINT))
    paths = (f"{_MANIFESTS}/kube-apiserver.yaml", "etc/kubernetes/controller-manager.conf")
    steps = rollout(inventory, rewritten(*(each for path in paths for each in on_all(path))))
    nodes = ("cp-1", "cp-2", "cp-3")
    in_turn = [each for node in nodes for each in (("copy", node), ("kube-apiserver", node))]
    assert told(steps) == [*in_turn, *(("kube-controller-manager", node) for node in nodes)]
    assert all(each.copy.is_sealed for each in steps if each.copy)


def test_a_node_with_its_own_keys_changes_nothing_for_the_others() -> None:
    """It gets its bundle whole, and they their manifests in turn as ever."""
    own = {**CP1, "keys": "node"}
    inventory = derive(spec(own, CP2, CP3, W1, **ENDPOINT))
    manifests, others = f"{_MANIFESTS}/kube-apiserver.yaml", "etc/kubernetes/pki/sa.pub"
    steps = rollout(inventory, rewritten(*on_all(manifests), *on_all(others)))
    copies = {(each.node, each.copy.but, each.copy.only) for each in steps if each.copy}
    assert copies == {
        ("cp-1", (), ()),
        *(each for node in ("cp-2", "cp-3") for each in ((node, STARTING, ()), (node, (), STARTING))),
    }


@pytest.mark.parametrize("part", [0, 1])
def test_rsync_takes_what_the_step_says(tmp_path: Path, part: int) -> None:
    """The shell runbook's command against the real rsync, if there is one."""
    if shutil.which("rsync") is None:
        pytest.skip("no rsync")
    changes = rewritten(f"cp-1/{_MANIFESTS}/kube-apiserver.yaml", "cp-1/etc/kubernetes/pki/sa.pub")
    copies = [each for each in rollout(three(), changes) if each.copy is not None]
    for name in (
        f"{_MANIFESTS}/kube-apiserver.yaml",
        "etc/kubernetes/pki/sa.pub",
        "var/lib/kubelet/config.yaml",
    ):
        file = tmp_path / "nodes/cp-1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    command = copies[part].commands[0].replace(f"root@{CP1['addresses'][0]}:/", "there/")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    there = tmp_path / "there"
    found = {each.relative_to(there).as_posix() for each in there.rglob("*") if each.is_file()}
    assert found == (
        {f"{_MANIFESTS}/kube-apiserver.yaml"}
        if part
        else {"etc/kubernetes/pki/sa.pub", "var/lib/kubelet/config.yaml"}
    )
