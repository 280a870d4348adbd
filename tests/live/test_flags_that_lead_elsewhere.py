"""Real programs whose flags name other files and ports than pkigen's: what is refused would have failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.live import programs
from tests.live.control_plane import Cluster, StaticPod, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Network
from tests.live.rotating import current, end, pkigen_in

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.11"
_PKI = "/etc/kubernetes/pki"
_SPEC = {
    "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}],
    "controllerManager": {
        "extraArgs": [
            {"name": "cluster-signing-cert-file", "value": f"{_PKI}/ca.crt"},
            {"name": "cluster-signing-key-file", "value": f"{_PKI}/ca.key"},
        ]
    },
    "etcd": {
        "extraArgs": [
            {"name": "listen-client-urls", "value": f"https://127.0.0.1:3379,https://{_ADDRESS}:3379"},
            {"name": "advertise-client-urls", "value": f"https://{_ADDRESS}:3379"},
            {"name": "client-cert-auth", "value": "false"},
            {"name": "auto-tls", "value": "true"},
        ]
    },
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = make(tmp_path_factory.mktemp("elsewhere"), spec_text("elsewhere", _SPEC))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        yield made


def test_the_ports_that_the_flags_name_are_dialled(cluster: Cluster) -> None:
    done = pkigen_in(cluster.machines["cp-1"], "verify", "--live", "-C", cluster.out, "-o", "json")
    seen = {
        each["component"]: (each["address"], each["serves"]) for each in json.loads(done.stdout)["endpoints"]
    }
    assert seen["etcd"] == (f"{_ADDRESS}:3379", "current"), done.stderr
    assert seen["kube-apiserver"] == (f"{_ADDRESS}:6443", "current")


def test_an_etcd_that_has_a_ca_asks_for_certificates(cluster: Cluster) -> None:
    """Whatever `--client-cert-auth` says; and beside a certificate of its own it makes none itself."""
    machine, pki = cluster.machines["cp-1"], cluster.pki("cp-1")
    url, ca = f"https://{_ADDRESS}:3379/version", pki / "etcd/ca.crt"
    assert (
        machine.request(url, ca=ca, identity=cluster.identity("cp-1", "apiserver-etcd-client")).status == 200
    )
    assert machine.request(url, ca=ca).refused
    done = pkigen_in(machine, "verify", cluster.node("cp-1") / "etc/kubernetes", "-o", "json")
    assert "etcd-unprotected" not in done.stdout


def test_a_signing_file_with_two_certificates(cluster: Cluster) -> None:
    """kubernetes/kubernetes#101965: the bundle of prepare would have been the signing file."""
    machine = cluster.machines["cp-1"]
    command = ("rotate", "ca", "kubernetes", cluster.scratch / "cluster.yaml", "-C", cluster.out, "--yes")
    done = pkigen_in(machine, *command)
    assert done.returncode == 1
    assert f"kube-controller-manager on cp-1 reads {_PKI}/ca.crt (--cluster-signing-cert-file)" in done.stderr
    assert current(machine, "kube-controller-manager").alive()
    # The control: what prepare would have brought, and the restart that it would have asked for.
    second = (cluster.out / "pki/front-proxy-ca.crt").read_text()
    machine.run("sh", "-c", f"cat >>{_PKI}/ca.crt", stdin=second)
    end(machine, "kube-controller-manager")
    pod = StaticPod.read(cluster.kubeconfig("cp-1", "manifests") / "kube-controller-manager.yaml")
    process = machine.start("kube-controller-manager", pod.command)
    assert process.popen.wait(120) != 0
    assert "expected 1 certificate, found 2" in process.tail()
