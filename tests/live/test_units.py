"""A real systemd runs the rendered units of a whole control plane, sandboxes and readiness included."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.desired.rendering.reference_programs import boot_systemd, find

SERVICES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ADDRESS = "10.77.1.9"
TARGETS = Path("/lib/systemd/system")

_PREPARED = """
mkdir -p /run/etc /run/units
cp -a /etc/. /run/etc/
for directory in /etc /var/lib /var/log; do mount -t tmpfs -o mode=0755 tmpfs $directory; done
cp -a /run/etc/. /etc/
cp -a {tree}/etc/. /etc/
cp -a {tree}/var/. /var/
mount --bind {programs} /usr/local/bin
ip link set lo up
ip link add lan type bridge
ip address add {address}/24 dev lan
ip link set lan up
ip route add default dev lan
cp -a {targets}/*.target /run/units/
for name in {services}; do cp /etc/systemd/system/$name.service /run/units/; done
cp {scratch}/probe.service /run/units/
"""
_PROBE = """
[Unit]
Wants={wants}
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=/bin/sh {scratch}/probe.sh
"""
_ASKED = """
exec > {scratch}/probe.log 2>&1
export PATH=/usr/local/bin:/usr/bin:/bin
kubectl="kubectl --kubeconfig /etc/kubernetes/super-admin.conf"
seconds=0
until $kubectl get --raw /readyz && $kubectl get lease -n kube-system kube-controller-manager kube-scheduler
do
    seconds=$((seconds + 1))
    [ $seconds -lt 90 ] || break
    sleep 1
done
$kubectl get lease -n kube-system -o json > {scratch}/leases.json
ls "/var/log/kubernetes audit" > {scratch}/audit.txt
for name in {services}; do
    echo $name $(systemctl show --value -p ActiveState -p NRestarts -p Type $name.service)
done > {scratch}/states.txt
"""


@pytest.mark.live
def test_the_units_of_a_control_plane(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (*SERVICES, "kubectl"):
        (programs / name).symlink_to(find(name))
    version = _said(programs / "kube-apiserver", "--version").split()[-1]
    etcd = _said(programs / "etcd", "--version").split()[2]
    if not etcd.startswith(("3.5.", "3.6.", "3.7.")):
        pytest.skip(f"etcd {etcd} is too old for Kubernetes {version}")
    flags = [
        # A blank in a value: the flag file must keep it one argument.
        {"name": "audit-log-path", "value": "/var/log/kubernetes audit/audit.log"},
        {"name": "audit-policy-file", "value": "/etc/kubernetes/audit.yaml"},
    ]
    spec = {
        "kubernetesVersion": version,
        "runtime": "systemd",
        "etcd": {"imageTag": f"{etcd}-0"},
        "encryption": {},
        "apiServer": {"extraArgs": flags},
        "networking": {"podSubnets": ["10.244.0.0/16"]},
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [ADDRESS]}],
    }
    document = {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": "units"}, "spec": spec}
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(document))
    _said(sys.executable, "-m", "pkigen", "init", tmp_path / "cluster.yaml", "-C", tmp_path / "out")
    tree = tmp_path / "out/nodes/cp-1"
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
    (tree / "etc/kubernetes/audit.yaml").write_text(yaml.safe_dump(policy))
    services = " ".join(SERVICES)
    wants = " ".join(f"{name}.service" for name in SERVICES)
    (tmp_path / "probe.sh").write_text(_ASKED.format(scratch=tmp_path, services=services))
    (tmp_path / "probe.service").write_text(_PROBE.format(scratch=tmp_path, wants=wants))
    prepared = _PREPARED.format(
        tree=tree, programs=programs, address=ADDRESS, targets=TARGETS, services=services, scratch=tmp_path
    )
    said = boot_systemd(tmp_path, prepared, unit="probe.service", seconds=240)
    assert (tmp_path / "states.txt").exists(), said
    states = {
        line.split()[0]: set(line.split()[1:]) for line in (tmp_path / "states.txt").read_text().splitlines()
    }
    assert states == {
        "etcd": {"active", "0", "notify"},
        "kube-apiserver": {"active", "0", "notify"},
        "kube-controller-manager": {"active", "0", "exec"},
        "kube-scheduler": {"active", "0", "exec"},
    }
    leases = json.loads((tmp_path / "leases.json").read_text())["items"]
    assert {"kube-controller-manager", "kube-scheduler"} <= {lease["metadata"]["name"] for lease in leases}
    assert (tmp_path / "audit.txt").read_text().split() == ["audit.log"]


def _said(*command: str | Path) -> str:
    return subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True, timeout=300
    ).stdout
