"""Rules about kubelets' flags."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.desired.rendering.reference_programs import find
from tests.spec.sources import assert_starts, more_nodes, problems, spec, warnings

if TYPE_CHECKING:
    from pathlib import Path


def common(name: str, value: str) -> str:
    return f"  kubelet: {{extraArgs: [{{name: {name}, value: '{value}'}}]}}\n"


SECOND = "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n"
VALUE = "spec.kubelet.extraArgs[0].value"
NO_LABELS = (
    "node-role.kubernetes.io/gate=", "a.k8s.io/x=y", "kubernetes.io/role=x", "k8s.io/x", "a b=c", "=x",
    "a=b c",
)  # fmt: skip
LABELS = (
    "a=b", "rack=", "rack", "example.com/rack=r-1.x", "node.kubernetes.io/x=y", "a.kubelet.kubernetes.io/x=y",
    "topology.kubernetes.io/zone=z", "kubernetes.io/hostname=h", "beta.kubernetes.io/instance-type=x",
    "k8s.iox/a=b",
)  # fmt: skip
NO_TAINTS = ("a", "a=b", "a:Never", "a b:NoSchedule", ":NoSchedule", "a=b c:NoSchedule")


def test_labels_that_a_kubelet_stops_at() -> None:
    for label in NO_LABELS:
        [told] = problems(spec(common("node-labels", f"ok=yes,{label}")))
        assert f"{VALUE}: '{label}' is " in told
    for label in LABELS:
        assert warnings(spec(common("node-labels", label))) == []
    assert warnings(spec(common("node-labels", ",".join(LABELS) + ","))) == []


def test_taints_that_no_node_registers_with() -> None:
    for taint in NO_TAINTS:
        [told] = problems(spec(common("register-with-taints", f"ok:NoSchedule,{taint}")))
        assert f"{VALUE}: '{taint}' is not a taint KEY=VALUE:EFFECT" in told
    [told] = problems(spec(common("register-with-taints", "a=b:NoSchedule,a:NoSchedule")))
    assert f"{VALUE}: has a twice with the effect NoSchedule: no node can register so" in told
    for taints in ("", "a:NoSchedule,a:NoExecute", "example.com/a=:PreferNoSchedule"):
        assert warnings(spec(common("register-with-taints", taints))) == []


def test_flags_of_all_kubelets_are_looked_at() -> None:
    assert_starts(
        problems(spec(common("node-ip", "eth0"))), (f"7:48: {VALUE}: must be an IP address, not 'eth0'",)
    )
    two = more_nodes(SECOND + common("node-ip", "192.0.2.1"))
    assert_starts(warnings(two), (f"9:48: {VALUE}: is one host's address, and every kubelet gets it: 2",))
    for address in ("::", "0.0.0.0"):  # noqa: S104 -- means that the kubelet finds out
        assert warnings(more_nodes(SECOND + common("node-ip", address))) == []
    assert warnings(spec(common("node-ip", "192.0.2.1"))) == []
    named = warnings(more_nodes(SECOND + common("hostname-override", "a")))
    assert_starts(
        named, (f"9:58: {VALUE}: the kubelet would register as 'a', but its certificate is made for 'b'",)
    )
    assert warnings(spec(common("hostname-override", "a"))) == []


def test_flags_that_pkigen_does_not_write_may_be_a_vendors() -> None:
    body = common("node-labels", "node-role.kubernetes.io/gate=") + "  manage: [manifests, addons]\n"
    assert warnings(spec(body)) == []


@pytest.mark.live
def test_a_real_kubelet_stops_there(tmp_path: Path) -> None:
    program = find("kubelet")
    flags = [("node-labels", each) for each in NO_LABELS]
    flags += [("register-with-taints", each) for each in NO_TAINTS]
    for name, value in flags:
        command = [program, f"--{name}={value}", f"--root-dir={tmp_path}", "--config=/absent"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0
        assert "/absent" not in done.stderr, (name, value)
