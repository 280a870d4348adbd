"""Three real etcd members over mutual TLS, from nothing but what `pkigen init` wrote.

Every member runs the rendered command to the letter, on a machine of its own, made of namespaces: each one
listens on 127.0.0.1:2379. The API server's client certificate is the client.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.rendering import file_syntax
from tests.faults.scenes import pkigen
from tests.live import programs
from tests.live.hosts import Identity, Machine, Network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
PKI = Path("etc/kubernetes/pki")
_START_SECONDS = 180

CLUSTERS: dict[str, dict[str, Any]] = {
    "static Pods, IPv4": {"runtime": "static-pods", "addresses": "10.77.0.{}"},
    "units, IPv6, other folders": {
        "runtime": "systemd",
        "addresses": "fd00:77::{}",
        "networking": {"serviceSubnets": ["fd00:96::/112"]},
        "etcd": {"dataDir": "/srv/etcd"},
    },
    "keys born on the nodes": {
        "runtime": "static-pods",
        "addresses": "10.77.0.{}",
        "certificates": {"nodeKeys": "node"},
    },
}


@dataclass(frozen=True, slots=True)
class Client:
    """The control-plane node, which asks the members."""

    machine: Machine
    tree: Path
    endpoints: str

    def etcdctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run etcdctl with the files and endpoints of the API server's own flags; later options win."""
        pki = self.tree / PKI
        return self.machine.attempt(
            *("env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={self.endpoints}"),
            *("--dial-timeout=5s", "--command-timeout=20s", f"--cacert={pki}/etcd/ca.crt"),
            *(f"--cert={pki}/apiserver-etcd-client.crt", f"--key={pki}/apiserver-etcd-client.key"),
            *arguments,
        )

    def identity(self, name: str) -> Identity:
        """A client certificate of this node's, by kubeadm's name."""
        stem = self.tree / PKI / name
        return Identity(certificate=stem.with_suffix(".crt"), key=stem.with_suffix(".key"))


def rendered_command(tree: Path, component: str) -> list[str]:
    """The rendered command: of the static Pod, else of the unit and its flag file."""
    manifest = tree / f"etc/kubernetes/manifests/{component}.yaml"
    if manifest.exists():
        command: list[str] = yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"]
        return command
    unit = (tree / f"etc/systemd/system/{component}.service").read_text()
    settings = {(section, key): value for section, key, value in file_syntax.unit_settings(unit)}
    program, variable = settings["Service", "ExecStart"].split()
    flags = file_syntax.environment((tree / settings["Service", "EnvironmentFile"].lstrip("/")).read_text())
    return [program, *flags[variable.removeprefix("$")]]


def _spec(cluster: dict[str, Any]) -> str:
    inner = dict(cluster)
    addresses = inner.pop("addresses")
    # The flags follow the etcd that belongs to a Kubernetes version: take one that fits the etcd at hand.
    inner["kubernetesVersion"] = "v1.33.7" if programs.version("etcd") < (3, 6) else "v1.36.2"
    inner["nodes"] = [
        {"name": "cp-1", "roles": ["control-plane"], "addresses": [addresses.format(1)]},
        *(
            {"name": name, "roles": ["etcd"], "addresses": [addresses.format(number)]}
            for number, name in enumerate(MEMBERS, start=11)
        ),
    ]
    document = {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": "etcd"}, "spec": inner}
    return yaml.safe_dump(document)


def _pkigen(*arguments: object) -> str:
    done = pkigen(*arguments)
    assert done.code == 0, done
    return done.out


def _enrolled(scratch: Path, out: Path) -> Path:
    """Every node makes its own keys and asks by file; what it has installed is its tree."""
    spec, medium, roots = scratch / "cluster.yaml", scratch / "medium", scratch / "roots"
    pin = json.loads(_pkigen("init", spec, "-C", out, "-o", "json"))["bundleKey"]
    for name in ("cp-1", *MEMBERS):
        root = roots / name
        root.mkdir(parents=True)
        asked = _pkigen("airgap", "node", "request", spec, "--root", root, "--node", name, "--out", medium)
        signer = next(line for line in asked.splitlines() if line.startswith("signed by")).split()[-1]
        request, bundle = medium / f"etcd.{name}.request", medium / f"etcd.{name}.bundle"
        _pkigen(
            "airgap", "node", "approve", spec, request, "-C", out, "--out", medium, "--pin", signer, "--yes"
        )
        _pkigen("airgap", "bundle", "install", bundle, "--root", root, "--node", name, "--pin", pin, "--yes")
    return roots


@pytest.fixture(scope="module", params=CLUSTERS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    programs.require("etcd", "etcdctl")
    scratch = tmp_path_factory.mktemp("etcd")
    (scratch / "cluster.yaml").write_text(_spec(CLUSTERS[request.param]))
    out, found = scratch / "out", scratch / "programs"
    found.mkdir()
    for name in ("etcd", "etcdctl"):
        program = programs.find(name)
        assert program is not None
        (found / name).symlink_to(program)
    _pkigen("init", scratch / "cluster.yaml", "-C", out)
    trees = out / "nodes"
    if "certificates" in CLUSTERS[request.param]:
        trees = _enrolled(scratch, out)
    nodes = {node["name"]: node for node in yaml.safe_load(_spec(CLUSTERS[request.param]))["spec"]["nodes"]}
    with Network() as network:
        machines = {
            name: network.machine(
                name, trees / name, addresses=node["addresses"], programs=found, scratch=scratch
            )
            for name, node in nodes.items()
        }
        members = [machines[name].start("etcd", rendered_command(trees / name, "etcd")) for name in MEMBERS]
        tree = trees / "cp-1"
        flags = rendered_command(tree, "kube-apiserver")
        (servers,) = (flag for flag in flags if flag.startswith("--etcd-servers="))
        one = Client(machines["cp-1"], tree, servers.removeprefix("--etcd-servers="))
        deadline = time.monotonic() + _START_SECONDS
        while one.etcdctl("endpoint", "health").returncode != 0:
            logs = "\n".join(member.tail() for member in members)
            assert all(member.alive() for member in members), logs
            assert time.monotonic() < deadline, logs
        yield one


@pytest.mark.live
def test_the_members_form_one_cluster(client: Client) -> None:
    listed = json.loads(client.etcdctl("member", "list", "-w", "json").stdout)["members"]
    assert sorted(member["name"] for member in listed) == list(MEMBERS)
    statuses = json.loads(client.etcdctl("endpoint", "status", "-w", "json").stdout)
    assert len(statuses) == 3
    assert len({status["Status"]["header"]["cluster_id"] for status in statuses}) == 1
    assert len({status["Status"]["leader"] for status in statuses}) == 1


@pytest.mark.live
def test_what_one_member_takes_every_member_has(client: Client) -> None:
    put = client.etcdctl("put", "/pkigen", "mutual TLS")
    assert (put.returncode, put.stdout.strip()) == (0, "OK"), put.stderr
    for endpoint in client.endpoints.split(","):
        got = client.etcdctl(f"--endpoints={endpoint}", "get", "/pkigen", "--print-value-only")
        assert (got.returncode, got.stdout.strip()) == (0, "mutual TLS"), got.stderr


@pytest.mark.live
def test_clients_of_the_etcd_ca_are_let_in(client: Client) -> None:
    for endpoint in client.endpoints.split(","):
        answer = client.machine.request(
            f"{endpoint}/health",
            ca=client.tree / PKI / "etcd/ca.crt",
            identity=client.identity("apiserver-etcd-client"),
        )
        assert (answer.status, answer.json()["health"]) == (200, "true"), answer.error


@pytest.mark.live
@pytest.mark.parametrize("name", ["apiserver-kubelet-client", None])
def test_others_are_turned_away(name: str | None, client: Client) -> None:
    for endpoint in client.endpoints.split(","):
        _turned_away(client, f"{endpoint}/health", name)


@pytest.mark.live
def test_peers_are_verified_too(client: Client) -> None:
    peer = client.endpoints.split(",")[0].removesuffix(":2379") + ":2380"
    _turned_away(client, f"{peer}/version", "apiserver-kubelet-client")


def _turned_away(client: Client, url: str, name: str | None) -> None:
    """The server ends a connection for its client's certificate: with the right one it answers."""
    ca = client.tree / PKI / "etcd/ca.crt"
    stranger = client.machine.request(url, ca=ca, identity=client.identity(name) if name else None)
    known = client.machine.request(url, ca=ca, identity=client.identity("apiserver-etcd-client"))
    assert known.status == 200, known.error
    assert stranger.refused, stranger
