"""Bundles made on one machine, carried as files, installed on the others; what was installed runs.

The authority has no network. Each node has its own name, network, /etc and /var/lib, the two on different
file systems, and gets nothing but its own bundle and the fingerprint of the bundle key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import programs
from tests.live.control_plane import boot_static_pods, spec_text
from tests.live.hosts import Network
from tests.live.sites import PKI, PKIGEN, Site, require_own_directories

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

NODES = {f"cp-{number}": (f"10.20.0.1{number}",) for number in (1, 2, 3)}
WORKER = {"worker-1": ("10.20.0.21",)}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    programs.require("etcd", "etcdctl")
    require_own_directories()
    with Network() as made:
        yield made


@pytest.fixture(scope="module")
def site(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site.plugged_in(network, tmp_path_factory.mktemp("air-gap"), {**NODES, **WORKER})
    nodes = []
    for name, addresses in {**NODES, **WORKER}.items():
        recipient = made.cluster.machines[name].run(*PKIGEN, "airgap", "node", "identity").strip()
        roles = ["worker"] if name in WORKER else ["control-plane"]
        nodes.append({"name": name, "roles": roles, "addresses": list(addresses), "ageRecipient": recipient})
    spec = spec_text("site", {"controlPlaneEndpoint": "api.site.example.com:6443", "nodes": nodes})
    made.authority.run("sh", "-c", "cat >/srv/site.yaml", stdin=spec)
    made.authority.run(*PKIGEN, "init", "/srv/site.yaml", "-C", "/srv/site")
    made.authority.run(
        *PKIGEN, "airgap", "bundle", "create", "/srv/site.yaml", "-C", "/srv/site", "--out", "/srv"
    )
    return made


@pytest.fixture(scope="module")
def pin(site: Site) -> str:
    return site.pin()


def test_a_bundle_at_the_wrong_host_is_refused(site: Site, pin: str) -> None:
    """The host's own name decides, and its own key."""
    machine = site.cluster.machines["worker-1"]
    other = site.carry("site.cp-1.bundle", site.authority, machine)
    command = (*PKIGEN, "airgap", "bundle", "install", other, "--pin", pin, "--yes")
    refused = machine.attempt(*command)
    assert refused.returncode == 1
    assert "it is for another node: cp-1, and this host is worker-1" in refused.stderr
    sealed = machine.attempt(*command, "--node", "cp-1")
    assert "it is not sealed to this host's identity" in sealed.stderr
    assert machine.attempt("ls", "/etc/kubernetes").returncode != 0


def test_what_was_installed_runs(site: Site, pin: str) -> None:
    """Three etcd members, and a control plane where its programs are at hand."""
    cluster = site.cluster
    for name in (*NODES, *WORKER):
        devices = cluster.machines[name].run("stat", "-c", "%d", "/etc", "/var/lib").split()
        assert len(set(devices)) == 2, "the install must cross file systems"
        site.install(name, pin)
    worker = cluster.node("worker-1")
    assert not list(worker.rglob("ca.key"))
    machine = cluster.machines["cp-1"]
    owners = machine.run(
        "find", "/etc/kubernetes", "/var/lib/kubelet", "!", "-user", "root", "-o", "!", "-group", "root"
    )
    assert owners == ""
    open_keys = machine.run("find", PKI, "/var/lib/kubelet", "-name", "*.key", "!", "-perm", "600")
    assert open_keys == ""
    boot_static_pods(cluster, elected_on="cp-1")
    etcdctl = (
        *("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=https://10.20.0.11:2379"),
        *(f"--cacert={PKI}/etcd/ca.crt", f"--cert={PKI}/etcd/healthcheck-client.crt"),
        f"--key={PKI}/etcd/healthcheck-client.key",
    )
    members = json.loads(machine.run(*etcdctl, "member", "list", "-w", "json"))["members"]
    assert sorted(member["name"] for member in members) == sorted(NODES)
    assert machine.run(*etcdctl, "put", "/carried", "by hand").strip() == "OK"
    if programs.find("kube-apiserver") is None or programs.find("kubectl") is None:
        return
    for name, (address,) in NODES.items():
        answer = machine.request(f"https://{address}:6443/readyz", ca=cluster.pki("cp-1") / "ca.crt")
        assert answer.status == 200, (name, answer)
        admin = Path("/etc/kubernetes/admin.conf")
        assert cluster.whoami(name, admin) == ("kubernetes-admin", {"kubeadm:cluster-admins"})
    kubelet = site.cluster.kubeconfig("worker-1", "kubelet.conf")
    assert cluster.whoami("cp-1", kubelet) == ("system:node:worker-1", {"system:nodes"})


def test_going_back_takes_everything_away(site: Site, pin: str) -> None:
    machine = site.cluster.machines["worker-1"]
    file = site.carried("worker-1")
    machine.run(*PKIGEN, "airgap", "bundle", "install", file, "--pin", pin, "--yes")
    machine.run(*PKIGEN, "airgap", "bundle", "rollback", "--yes")
    assert machine.attempt("ls", "/etc/kubernetes/kubelet.conf").returncode != 0
    assert machine.run("find", "/etc", "/var/lib", "-name", ".pkigen-staging") == ""
    machine.run(*PKIGEN, "airgap", "bundle", "install", file, "--pin", pin, "--yes")
    machine.run("test", "-f", "/etc/kubernetes/kubelet.conf")
