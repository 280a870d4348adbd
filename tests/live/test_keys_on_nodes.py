"""A real control plane of keys that were all born on its nodes, under every kind of authority there is.

Nodes ask by file, the authority answers by file. No node's key is ever on another machine.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import certificates, programs
from tests.live.control_plane import CREATE, Cluster, apply_addons, boot_static_pods, spec_text, static_pods
from tests.live.hosts import Identity, Network
from tests.live.sites import PKI, PKIGEN, Site, require_own_directories, said_after, unplugged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Machine

pytestmark = pytest.mark.live

_MEMBERS = {"cp-1": ("10.20.0.11",), "cp-2": ("10.20.0.12",)}
_WORKER = {"worker-1": ("10.20.0.21",)}
_API = "https://10.20.0.11:6443"
_SECONDS = 180
_OPENING = ("--passphrase-file", "/srv/passphrase")
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the authority keeps its keys; `signs` says whether the controller manager has those of a CA."""

    signs: bool
    certificates: dict[str, Any] = field(default_factory=dict)
    members: int = 1
    encrypted: bool = False

    @property
    def offline(self) -> bool:
        return "authority" in self.certificates

    @property
    def nodes(self) -> dict[str, tuple[str, ...]]:
        return {**dict(list(_MEMBERS.items())[: self.members]), **_WORKER}


WAYS = {
    "CA keys on the control planes": Way(signs=True, members=2),
    "no CA keys on the nodes": Way(signs=False, certificates={"distributeCAKeys": False}),
    "an offline root": Way(signs=True, certificates={"authority": "offline", "caKeys": "site"}),
    "an encrypted authority": Way(signs=False, certificates={"distributeCAKeys": False}, encrypted=True),
}


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """A site whose nodes have all asked, were answered, and run."""

    site: Site
    way: Way
    told: str
    """What was said while the PKI was made."""

    @property
    def cluster(self) -> Cluster:
        return self.site.cluster

    @property
    def machines(self) -> Iterator[Machine]:
        yield self.site.authority
        yield from self.cluster.machines.values()


def _spec(way: Way) -> str:
    nodes = [
        {"name": name, "roles": ["worker" if name in _WORKER else "control-plane"], "addresses": [*addresses]}
        for name, addresses in way.nodes.items()
    ]
    return spec_text(
        "site",
        {
            "controlPlaneEndpoint": "api.site.example.com:6443",
            "certificates": {"nodeKeys": "node", **way.certificates},
            "nodes": nodes,
            "users": [{"name": "dev1", "groups": ["dev"]}],
        },
    )


def _make(site: Site, way: Way, network: Network) -> str:
    """The authority's part before a node is heard of; what it has said."""
    authority = site.authority
    sealing: tuple[str, ...] = ()
    if way.encrypted:
        authority.run(
            "sh", "-c", "umask 077; cat >/srv/passphrase", stdin="a passphrase that is long enough\n"
        )
        sealing = ("--encrypt-authority", *_OPENING)
    done = authority.attempt(*PKIGEN, "init", "/srv/site.yaml", "-C", "/srv/site", *sealing)
    assert done.returncode == 0, done.stderr
    if not way.offline:
        return done.stdout + done.stderr
    vault = unplugged(network, "vault", site.cluster.scratch)
    spec = site.carry("site.yaml", authority, vault)
    made = vault.run(*PKIGEN, "airgap", "authority", "init", spec, "--authority", "/srv/vault")
    asked = site.carry("site.request", authority, vault)
    vault.run(
        *(
            *PKIGEN,
            "airgap",
            "authority",
            "sign",
            asked,
            "--spec",
            spec,
            "--authority",
            "/srv/vault",
            "--yes",
        ),
        *("--pin", said_after("site key:", done.stdout), "--out", "/srv/site.answer"),
    )
    answer = site.carry("site.answer", vault, authority)
    accepted = authority.attempt(
        *(*PKIGEN, "airgap", "authority", "accept", answer, spec, "-C", "/srv/site", "--yes"),
        *("--pin", said_after("authority key:", made)),
    )
    assert accepted.returncode == 0, accepted.stderr
    return done.stderr + accepted.stdout + accepted.stderr


def _enrol(site: Site, way: Way, node: str, pin: str) -> None:
    """Ask on the node, approve at the authority, install on the node."""
    machine = site.cluster.machines[node]
    spec = site.carry("site.yaml", site.authority, machine)
    said = machine.run(*PKIGEN, "airgap", "node", "request", spec, "--out", "/srv")
    request = site.carry(f"site.{node}.request", machine, site.authority)
    opening = _OPENING if way.encrypted else ()
    site.authority.run(
        *(
            *PKIGEN,
            "airgap",
            "node",
            "approve",
            "/srv/site.yaml",
            request,
            "-C",
            "/srv/site",
            "--out",
            "/srv",
        ),
        *("--pin", said_after(f"signed by {node}'s request key", said), "--yes", *opening),
    )
    site.install(node, pin)


@pytest.fixture(scope="module", params=WAYS)
def enrolled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enrolled]:
    programs.require(*programs.LEAST)
    require_own_directories()
    way = WAYS[request.param]
    with Network() as network:
        site = Site.plugged_in(network, tmp_path_factory.mktemp("born"), way.nodes)
        site.authority.run("sh", "-c", "cat >/srv/site.yaml", stdin=_spec(way))
        told = _make(site, way, network)
        pin = site.pin()
        for node in way.nodes:
            _enrol(site, way, node, pin)
        for folder in ("addons", "users"):
            site.authority.run("cp", "-a", f"/srv/site/{folder}", site.cluster.out)
        boot_static_pods(site.cluster, elected_on="cp-1")
        yield Enrolled(site=site, way=way, told=told)


@pytest.fixture(scope="module")
def super_admin(enrolled: Enrolled) -> Path:
    """The kubeconfig of whoever applies the addons; they are applied."""
    found = enrolled.cluster.kubeconfig("cp-1", "super-admin.conf")
    apply_addons(enrolled.cluster, "cp-1", found)
    return found


def test_the_authority_finds_its_tree_right(enrolled: Enrolled) -> None:
    verify = ("verify", "-C", "/srv/site", "/srv/site.yaml")
    enrolled.site.authority.run(*PKIGEN, *verify)


def test_every_api_server_is_ready_for_whoever_has_the_nodes_ca(enrolled: Enrolled) -> None:
    cluster, machine = enrolled.cluster, enrolled.cluster.machines["cp-1"]
    for name in enrolled.way.nodes.keys() - _WORKER.keys():
        (address,) = enrolled.way.nodes[name]
        url = f"https://{address}:6443/readyz"
        assert machine.request(url, ca=cluster.pki("worker-1") / "ca.crt").status == 200
        control = machine.request(url, ca=cluster.pki("cp-1") / "etcd/ca.crt")
        assert "verify failed" in str(control.error)


def test_every_kubeconfig_is_who_it_says(enrolled: Enrolled) -> None:
    cluster = enrolled.cluster
    for node in enrolled.way.nodes:
        for path in sorted((cluster.node(node) / "etc/kubernetes").glob("*.conf")):
            user, groups = {
                "admin.conf": ("kubernetes-admin", {"kubeadm:cluster-admins"}),
                "super-admin.conf": ("kubernetes-super-admin", {"system:masters"}),
                "controller-manager.conf": ("system:kube-controller-manager", set()),
                "scheduler.conf": ("system:kube-scheduler", set()),
                "kubelet.conf": (f"system:node:{node}", {"system:nodes"}),
            }[path.name]
            asked_on = "cp-1" if node in _WORKER else node  # where the API server's name leads to itself
            assert cluster.whoami(asked_on, path) == (user, groups), path
    assert cluster.whoami("cp-1", cluster.out / "users/dev1.conf") == ("dev1", {"dev"})


def test_nobody_is_let_in_by_a_certificate_of_another_purpose(enrolled: Enrolled) -> None:
    cluster, machine = enrolled.cluster, enrolled.cluster.machines["cp-1"]
    ca = cluster.pki("cp-1") / "ca.crt"

    def nodes_for(name: str) -> int | None:
        return machine.request(f"{_API}/api/v1/nodes", ca=ca, identity=cluster.identity("cp-1", name)).status

    assert nodes_for("apiserver-kubelet-client") == 403, "known, and may not"
    for name in ("front-proxy-client", "etcd/healthcheck-client"):
        assert nodes_for(name) == 401, name


def test_no_private_key_of_a_node_was_ever_elsewhere(enrolled: Enrolled) -> None:
    """Neither as a file nor embedded in a kubeconfig; the cluster's own keys are on several machines."""
    shared = {"sa.key", "ca.key", "front-proxy-ca.key", "bundle.key", "encryption.key"}
    homes: dict[str, set[str]] = {}
    for machine in enrolled.machines:
        found = machine.run(
            "sh", "-c", "find /etc/kubernetes /var/lib /srv -type f 2>/dev/null -exec cat {} + | base64 -w0"
        )
        text = base64.b64decode(found).decode(errors="replace")
        for embedded in re.findall(r"client-key-data: (\S+)", text):
            text += base64.b64decode(embedded).decode(errors="replace")
        for key in re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*([A-Za-z0-9+/=\s]+)-----END", text):
            homes.setdefault("".join(key.split()), set()).add(machine.name)
    own = {
        "".join(path.read_text().split("-----")[2].split())
        for node in enrolled.way.nodes
        for path in enrolled.cluster.node(node).rglob("*.key")
        if path.name not in shared
    }
    assert own <= homes.keys()
    if not enrolled.way.encrypted:
        assert any(len(places) > 1 for places in homes.values()), (
            "the control: sa.key is at the authority too"
        )
    for key in own:
        assert len(homes[key]) == 1
        assert homes[key] != {"authority"}


def _certificate_of(enrolled: Enrolled, admin: Path, key: Path, seconds: float) -> str:
    """What the cluster makes of an approved CSR: the certificate in base64, or nothing in that time."""
    pem = certificates.request_pem(key, certificates.name("somebody", "some-team"))
    request = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "somebody"},
        "spec": {
            "request": base64.b64encode(pem.encode()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    cluster = enrolled.cluster
    cluster.kubectl("cp-1", admin, *CREATE, stdin=json.dumps(request))
    cluster.kubectl("cp-1", admin, "certificate", "approve", "somebody")
    deadline, issued = time.monotonic() + seconds, ""
    while not issued and time.monotonic() < deadline:
        asked = ("get", "csr", "somebody", "-o", "jsonpath={.status.certificate}")
        issued = cluster.kubectl("cp-1", admin, *asked)
    return issued


def test_the_controller_manager_signs_where_it_has_the_key(
    enrolled: Enrolled, super_admin: Path, tmp_path: Path
) -> None:
    programs.require("kube-controller-manager")
    key = tmp_path / "somebody.key"
    issued = _certificate_of(enrolled, super_admin, key, _SECONDS if enrolled.way.signs else 5)
    assert bool(issued) is enrolled.way.signs
    flags = static_pods(enrolled.cluster, "cp-1")["kube-controller-manager"].command
    assert ("--cluster-signing-key-file=" in flags) is not enrolled.way.signs
    assert (enrolled.cluster.pki("cp-1") / "ca.key").exists() is enrolled.way.signs
    said = "the controller manager signs nothing"
    assert (said in enrolled.told) is not enrolled.way.signs
    if not issued:
        return
    key.with_suffix(".crt").write_bytes(base64.b64decode(issued))
    answer = enrolled.cluster.machines["cp-1"].request(
        f"{_API}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        ca=enrolled.cluster.pki("cp-1") / "ca.crt",
        identity=Identity(certificate=key.with_suffix(".crt"), key=key),
        body=_REVIEW,
    )
    assert answer.status == 201, answer
    assert answer.json()["status"]["userInfo"]["username"] == "somebody"


def test_etcd_lets_in_its_own_clients(enrolled: Enrolled) -> None:
    programs.require("etcdctl")
    machine = enrolled.cluster.machines["cp-1"]

    def put(client: str, seconds: int) -> int:
        return machine.attempt(
            *("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=https://10.20.0.11:2379"),
            *(f"--dial-timeout={seconds}s", f"--command-timeout={seconds}s", f"--cacert={PKI}/etcd/ca.crt"),
            *(f"--cert={PKI}/{client}.crt", f"--key={PKI}/{client}.key", "put", "/born", "here"),
        ).returncode

    assert put("apiserver-kubelet-client", 5) != 0
    assert put("etcd/healthcheck-client", 60) == 0


def test_a_renewal_is_asked_for_again_and_runs(enrolled: Enrolled) -> None:
    """New keys, by the same journey; the API server takes them up by itself."""
    site, machine = enrolled.site, enrolled.cluster.machines["cp-1"]
    before = (enrolled.cluster.pki("cp-1") / "apiserver.crt").read_bytes()
    _enrol(site, enrolled.way, "cp-1", site.pin())
    after = enrolled.cluster.pki("cp-1") / "apiserver.crt"
    assert after.read_bytes() != before
    deadline = time.monotonic() + _SECONDS
    serving = ""
    own = after.read_text().partition("-----END")[0].strip()
    while own not in serving:
        assert time.monotonic() < deadline, serving
        serving = machine.attempt("openssl", "s_client", "-connect", "10.20.0.11:6443").stdout
    admin = enrolled.cluster.kubeconfig("cp-1", "admin.conf")
    assert enrolled.cluster.whoami("cp-1", admin) == ("kubernetes-admin", {"kubeadm:cluster-admins"})
    for process in machine.processes:
        assert process.alive(), process.tail()
