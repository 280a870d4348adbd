"""What brings a change to its nodes, in which order: copies, members, restarts, removals."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from pkigen.crypto.issuance import fingerprint
from pkigen.desired.inventory import EtcdMembership, Inventory, derive
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.plan import Remove, Rewrite
from pkigen.reconcile.restart_map import Restart
from pkigen.reconcile.rollout import (
    STARTING,
    RolloutStep,
    StepKind,
    changed_files,
    evidence,
    restarting,
    rollout,
)
from pkigen.state.reasons import Reason
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, CP3, ENDPOINT, W1, World, node, spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.reconcile.plan import Action

DUAL = {"serviceSubnets": ["10.96.0.0/12", "fd00:10:96::/112"]}
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
    assert steps[-1].removes == ("/etc/kubernetes/old.conf",)


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
    assert step.commands[1:] == ("# and on worker-1: pkigen airgap bundle install FILE",)


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


def commands(steps: tuple[RolloutStep, ...]) -> list[tuple[str, ...]]:
    return [each.commands for each in steps if each.kind is StepKind.COPY]


RSYNC = "rsync -rptc --delay-updates --chown=root:root"


def test_what_a_person_types_copies_the_part_that_the_step_says() -> None:
    """Rules of rsync: the directories on the way, what is below them, and nothing else."""
    v6 = {**CP2, "addresses": ["fd00::12"]}
    nameless = node("worker-9", [])
    inventory = derive(spec(CP1, v6, CP3, nameless, networking=DUAL, **ENDPOINT))
    changes = rewritten(
        f"cp-2/{_MANIFESTS}/kube-apiserver.yaml", "cp-2/etc/x", "worker-9/etc/y", "cp-1/var/lib/kubelet/z"
    )
    but = "--exclude=/etc/kubernetes/manifests --exclude=/etc/kubernetes/flags --exclude=/etc/systemd/system"
    ways = ("etc", "etc/kubernetes", "etc/kubernetes/manifests", "etc/kubernetes/flags")
    only = [f"--include=/{way}/" for way in (*ways, "etc/systemd", "etc/systemd/system")]
    only += [f"'--include={path}/**'" for path in STARTING] + ["'--exclude=*'"]
    assert commands(rollout(inventory, changes)) == [
        (f"{RSYNC} {but} nodes/cp-1/ root@10.0.0.11:/",),
        (f"{RSYNC} {but} nodes/cp-2/ root@[fd00::12]:/",),
        (f"{RSYNC} {but} nodes/worker-9/ root@worker-9:/",),
        (f"{RSYNC} {' '.join(only)} nodes/cp-2/ root@[fd00::12]:/",),
    ]


def test_what_only_kubelets_need_comes_first_and_alone() -> None:
    changes = [
        *rewritten("worker-1/var/lib/kubelet/config.yaml", "worker-1/etc/kubernetes/pki/ca.crt"),
        *rewritten(f"cp-1/{_MANIFESTS}/kube-apiserver.yaml", reason=Reason.VERIFIES_KUBELETS),
    ]
    steps = rollout(three(), changes)
    first = steps[0].copy
    assert first is not None
    assert (first.only, first.but, first.files) == (
        ("/var/lib/kubelet",),
        (),
        ("/var/lib/kubelet/config.yaml",),
    )
    assert told(steps)[1] == ("kubelet", "worker-1")
    assert [each.number for each in steps if each.number] == [1, 2]


def test_what_is_not_on_the_nodes_or_goes_from_them_is_no_copy() -> None:
    elsewhere = Rewrite(id="pki/ca.crt", paths=("pki/ca.crt",), node=None, reason=None)
    gone = Remove(id="x", paths=("nodes/cp-1/etc/x",), node="cp-1", reason=None)
    stranger = Rewrite(id="y", paths=("nodes/cp-9/etc/y",), node="cp-9", reason=None)
    assert changed_files([elsewhere, gone, *rewritten("cp-1/etc/b", "cp-1/etc/a")]) == {
        "cp-1": ("/etc/a", "/etc/b")
    }
    assert told(rollout(three(), [elsewhere, gone, stranger])) == [("remove", "cp-1")]


@pytest.mark.parametrize("own", [False, True])
def test_what_starts_a_component_comes_with_its_own_step_or_with_the_bundle(own: object) -> None:
    one = {**CP1, "keys": "node"} if own else CP1
    changes = rewritten("cp-1/etc/kubernetes/pki/sa.pub", f"cp-1/{_MANIFESTS}/kube-scheduler.yaml")
    steps = rollout(derive(spec(one, CP2, **ENDPOINT)), changes)
    copy, api_server, scheduler = (("copy", "cp-1"), ("kube-apiserver", "cp-1"), ("kube-scheduler", "cp-1"))
    assert told(steps) == ([copy, api_server, scheduler] if own else [copy, api_server, copy, scheduler])
    restarted = next(each for each in steps if each.restart)
    assert restarted.kind is StepKind.COMPONENT
    assert (restarted.host, bool(restarted.commands)) == ("10.0.0.11", True)


def test_a_start_file_that_nothing_waits_for_comes_last() -> None:
    (first, last) = rollout(three(), rewritten(f"worker-1/{_MANIFESTS}/own.yaml", "worker-1/etc/x"))
    assert first.copy is not None
    assert last.copy is not None
    assert (first.copy.files, last.copy.files) == (("/etc/x",), (f"/{_MANIFESTS}/own.yaml",))
    assert last.copy.only == STARTING


def test_a_step_that_takes_the_former_definition_away_has_the_new_one_beside_it() -> None:
    """From static Pods to units: copying a tree over a node takes nothing away."""
    former = f"nodes/cp-1/{_MANIFESTS}/kube-scheduler.yaml"
    changes = [
        Remove(id=former, paths=(former,), node="cp-1", reason=None),
        *rewritten("cp-1/etc/systemd/system/kubelet.service", "cp-1/etc/kubernetes/scheduler.conf"),
    ]
    steps = rollout(three(runtime="systemd"), changes)
    assert told(steps) == [
        ("copy", "cp-1"),
        ("copy", "cp-1"),
        ("kube-scheduler", "cp-1"),
        ("kubelet", "cp-1"),
    ]
    assert steps[2].removes == (f"/{_MANIFESTS}/kube-scheduler.yaml",)


def test_what_each_component_is_run_by_and_how_one_sees_that_it_is_up() -> None:
    paths = [f"{_MANIFESTS}/{name}.yaml" for name in ("kube-apiserver", "kube-scheduler", "etcd")]
    paths += ["var/lib/kubelet/config.yaml", "etc/kubernetes/pki/front-proxy-ca.crt"]
    steps = {
        each.restart.component: each
        for each in rollout(derive(spec(CP1)), rewritten(*(f"cp-1/{path}" for path in paths)))
        if each.restart
    }
    found = {
        component: (step.process and (step.process.manifest, step.process.unit), step.health is not None)
        for component, step in steps.items()
    }
    assert found == {
        ComponentName.ETCD: ((f"/{_MANIFESTS}/etcd.yaml", None), True),
        ComponentName.API_SERVER: ((f"/{_MANIFESTS}/kube-apiserver.yaml", None), True),
        ComponentName.SCHEDULER: ((f"/{_MANIFESTS}/kube-scheduler.yaml", None), True),
        ComponentName.KUBELET: ((None, ComponentName.KUBELET), True),
        # It reads the file again by itself: nothing to wait for.
        ComponentName.CONTROLLER_MANAGER: ((f"/{_MANIFESTS}/kube-controller-manager.yaml", None), False),
    }
    asked = {component: step.health.kubeconfig for component, step in steps.items() if step.health}
    assert asked.pop(ComponentName.API_SERVER) == "/etc/kubernetes/controller-manager.conf"
    assert set(asked.values()) == {None}
    health = steps[ComponentName.KUBELET].health
    assert health is not None
    assert (health.url, "10248/healthz" in health.command) == ("http://127.0.0.1:10248/healthz", True)


def test_a_member_that_is_told_of_another_is_no_component_that_restarts() -> None:
    peer = "nodes/cp-4/etc/kubernetes/pki/etcd/peer.crt"
    membership = EtcdMembership(founders=("cp-1", "cp-2", "cp-3", "cp-4"))
    inventory = derive(spec(CP1, CP2, CP3, **ENDPOINT), etcd=membership)
    (step,) = rollout(inventory, [Remove(id=peer, paths=(peer,), node="cp-4", reason=None)])
    assert (step.kind, step.node, step.host, step.number) == (StepKind.MEMBER, "cp-1", "10.0.0.11", 1)
    assert (step.process, step.evidence) == (None, ())
    assert step.health is not None


def test_the_kinds_of_steps_are_called_as_the_published_document_calls_them() -> None:
    assert [each.value for each in StepKind] == ["copy", "member", "component", "remove"]


def asked(component: ComponentName, effect: Effect, **more: Any) -> RolloutStep:
    """The step that asks something of a component of the first node."""
    restart = Restart(node="cp-1", component=component, effect=effect, files=(), **more)
    return restarting(1, restart, three().cluster, host="10.0.0.11", served={})


@pytest.mark.parametrize(
    ("effect", "waits"), [(Effect.EXPELS, True), (Effect.ADMITS, False), (Effect.MOVES, False)]
)
def test_no_member_waits_for_the_quorum_that_a_later_step_brings(effect: Effect, waits: object) -> None:
    step = asked(ComponentName.ETCD, effect, member="cp-2")
    assert step.commands
    assert (step.health is not None) == waits


@pytest.mark.parametrize("component", [ComponentName.KUBELET, ComponentName.KUBE_PROXY])
def test_what_runs_on_every_node_is_a_unit_beside_static_pods_too(component: ComponentName) -> None:
    process = asked(component, Effect.RESTART).process
    assert process is not None
    assert (process.manifest, process.unit) == (None, component)


def test_somebody_else_s_manifest_says_where_a_component_serves() -> None:
    inventory = derive(spec(CP1, manage=["kubelet", "addons"]))
    words = ["kube-apiserver", "--secure-port=7443", "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt"]
    pod = {"kind": "Pod", "spec": {"containers": [{"name": words[0], "command": words}]}}
    path = f"nodes/cp-1/{_MANIFESTS}/kube-apiserver.yaml"
    for reader, address in (
        (None, "10.0.0.11:6443"),
        (Photograph({path: json.dumps(pod).encode()}), "10.0.0.11:7443"),
    ):
        found = {each.component: each.address for _, each in evidence(inventory, reader)}
        assert found["kube-apiserver"] == address


def test_what_endpoints_must_serve_after_each_step(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, W1))
    world.apply()
    tree = Photograph.of(world.root)
    paths = [f"cp-1/{_MANIFESTS}/{name}.yaml" for name in ("kube-apiserver", "etcd")]
    changes = rewritten(*paths, "worker-1/var/lib/kubelet/config.yaml")

    def shown(reader: Photograph | None) -> dict[tuple[str, str], str | None]:
        steps = rollout(world.inventory, changes, reader)
        return {
            (step.node, each.certificate): each.sha256
            for step in steps
            for each in step.evidence
            if step.restart and each.component.partition(" ")[0] == step.restart.component
        }

    served = [("cp-1", "cp-1/apiserver"), ("cp-1", "cp-1/etcd-server"), ("cp-1", "cp-1/etcd-peer")]
    served.append(("worker-1", "worker-1/kubelet-serving"))
    assert shown(tree) == {
        (name, each): fingerprint(x509.load_pem_x509_certificate(world.pem(each))) for name, each in served
    }
    assert shown(None) == dict.fromkeys(served)
    path = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
    less = Photograph({each: data for each, data in tree.files.items() if each != path})
    assert shown(less)["cp-1", "cp-1/apiserver"] is None


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
