"""A cluster's control plane, started from nothing but what `pkigen init` wrote.

Every node's tree is copied over the root directory of a machine of its own, and the commands of its static
Pods, or of its units, run there to the letter: the same words, the same paths, the same files.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.faults import scenes
from tests.live import programs
from tests.live.hosts import Identity, Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.live.hosts import Machine, Process

CREATE = ("create", "--validate=false", "-f", "-")
"""kubectl's words for making an object from standard input; the API server says whether it is right."""
_EVERYWHERE = frozenset({"etcd", "kube-apiserver"})
_BOOT_SECONDS = 300
_UNIFIED_CGROUPS = Path("/sys/fs/cgroup/cgroup.controllers")
# kubernetes/release, 10-kubeadm.conf
_KUBELET_DROP_IN = (
    "kubelet",
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
    "--kubeconfig=/etc/kubernetes/kubelet.conf",
    "--config=/var/lib/kubelet/config.yaml",
)
_NOTIFY_SECONDS = 120
_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def pkigen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "pkigen", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"pkigen {arguments}: {done.stdout}{done.stderr}"
    return done


@dataclass(slots=True, kw_only=True)
class Cluster:
    """What `pkigen init` wrote, and the machines that run it."""

    out: Path
    """The PKI directory."""
    scratch: Path
    machines: dict[str, Machine] = field(default_factory=dict)

    def node(self, name: str) -> Path:
        """A node's tree."""
        return self.out / "nodes" / name

    def kubeconfig(self, node: str, name: str) -> Path:
        return self.node(node) / "etc/kubernetes" / name

    def pki(self, node: str) -> Path:
        return self.node(node) / "etc/kubernetes/pki"

    def identity(self, node: str, name: str) -> Identity:
        """A client certificate of a node's, by kubeadm's name."""
        pki = self.pki(node)
        return Identity(certificate=pki / f"{name}.crt", key=pki / f"{name}.key")

    def identity_of(self, kubeconfig: Path) -> Identity:
        """The client certificate in a kubeconfig, as files."""
        user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
        stem = self.scratch / f"{kubeconfig.parent.name}-{kubeconfig.name}"
        found = Identity(certificate=stem.with_suffix(".crt"), key=stem.with_suffix(".key"))
        found.certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
        found.key.write_bytes(base64.b64decode(user["client-key-data"]))
        return found

    def unpack(self, kubeconfig: Path, place: Path) -> None:
        """What a kubeconfig embeds, as files: `client.crt`, `client.key` and `ca.crt`."""
        content = yaml.safe_load(kubeconfig.read_text())
        user, authority = content["users"][0]["user"], content["clusters"][0]["cluster"]
        for file, data in (
            ("client.crt", user["client-certificate-data"]),
            ("client.key", user["client-key-data"]),
            ("ca.crt", authority["certificate-authority-data"]),
        ):
            (place / file).write_bytes(base64.b64decode(data))

    def kubectl(self, node: str, kubeconfig: Path, *arguments: str | Path, stdin: str = "") -> str:
        """Run kubectl on a node's machine; it must succeed."""
        done = self.try_kubectl(node, kubeconfig, *arguments, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_kubectl(
        self, node: str, kubeconfig: Path, *arguments: str | Path, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl on a node's machine, whatever comes of it."""
        return self.machines[node].attempt(
            "kubectl", "--kubeconfig", kubeconfig, "--request-timeout=30s", *arguments, stdin=stdin
        )

    def whoami(self, node: str, kubeconfig: Path) -> tuple[str, set[str]]:
        """The user and the groups that the API server sees behind a kubeconfig, without everybody's group."""
        said = json.loads(self.kubectl(node, kubeconfig, "auth", "whoami", "-o", "json"))
        info = said["status"]["userInfo"]
        return info["username"], set(info.get("groups", ())) - {"system:authenticated"}


def spec_text(name: str, spec: dict[str, Any]) -> str:
    """A spec of pkigen's own format, for the programs at hand."""
    tag = programs.etcd_image_tag()
    full = {"kubernetesVersion": programs.kubernetes_version(), **spec}
    if tag is not None:
        full["etcd"] = {"imageTag": tag, **full.get("etcd", {})}
    document = {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": full}
    return yaml.safe_dump(document, sort_keys=False)


def make(scratch: Path, spec: str) -> Cluster:
    """Run `pkigen init` for a spec in this process, and let `pkigen verify` agree with the result."""
    path, out = scratch / "cluster.yaml", scratch / "out"
    path.write_text(spec)
    for command in (("init", path, "-C", out), ("verify", "-C", out, path)):
        done = scenes.pkigen(*command)
        assert done.code == 0, done
    return Cluster(out=out, scratch=scratch)


def plug_in(
    network: Network,
    cluster: Cluster,
    nodes: Mapping[str, Sequence[str]],
    *,
    names: Mapping[str, str] | None = None,
) -> None:
    """Give every node a machine with its addresses; `names` stand in /etc/hosts of each."""
    folder = cluster.scratch / "programs"
    folder.mkdir()
    programs.gather(folder)
    known = {"localhost": "127.0.0.1", **(names or {})}
    for name, addresses in nodes.items():
        machine = network.machine(
            name, cluster.node(name), addresses=addresses, programs=folder, scratch=cluster.scratch
        )
        hosts = "".join(f"{address} {known_name}\n" for known_name, address in known.items())
        machine.run("sh", "-c", "cat >/etc/hosts", stdin=hosts)
        cluster.machines[name] = machine


def apply_addons(cluster: Cluster, node: str, kubeconfig: Path) -> str:
    """Apply the addons as `pkigen init` says.

    kubectl validates with the API server's OpenAPI document. An API server built with a newer Go than its
    sources know may be unable to serve one, and is then given the objects without.
    """
    apply = ("apply", "-f", cluster.out / "addons")
    done = cluster.try_kubectl(node, kubeconfig, *apply)
    if "failed to download openapi" in done.stderr:
        return cluster.kubectl(node, kubeconfig, *apply, "--validate=false")
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPod:
    """What a static Pod's manifest says about running it without a kubelet."""

    name: str
    command: tuple[str, ...]
    probe: str
    """The URL of the startup probe."""
    readiness: str | None

    @classmethod
    def read(cls, manifest: Path) -> StaticPod:
        """Read a rendered manifest."""
        (container,) = yaml.safe_load(manifest.read_text())["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}

        def url(probe: dict[str, Any]) -> str:
            get = probe["httpGet"]
            # Without one the kubelet asks at the Pod's address, which is any of the node's.
            given = get.get("host", "127.0.0.1")
            host = f"[{given}]" if ":" in given else given
            return f"{get['scheme'].lower()}://{host}:{ports.get(get['port'], get['port'])}{get['path']}"

        readiness = container.get("readinessProbe")
        return cls(
            name=container["name"],
            command=(*container["command"], *container.get("args", ())),
            probe=url(container["startupProbe"]),
            readiness=readiness and url(readiness),
        )


def static_pods(cluster: Cluster, node: str) -> dict[str, StaticPod]:
    """A node's static Pods by name."""
    manifests = cluster.kubeconfig(node, "manifests").glob("*.yaml")
    return {pod.name: pod for pod in map(StaticPod.read, manifests)}


def boot_static_pods(cluster: Cluster, *, elected_on: str | None = None) -> None:
    """Do the kubelets' part on every machine: start the containers' commands, and probe until they answer.

    Args:
        cluster: Whose machines are plugged in.
        elected_on: The only node that runs what would elect a leader and leave the others idle.
    """
    for component in filter(programs.find, programs.COMPONENTS):
        started: list[tuple[Machine, Process, StaticPod]] = []
        for name, machine in cluster.machines.items():
            pod = static_pods(cluster, name).get(component)
            idle = component not in _EVERYWHERE and elected_on not in {None, name}
            if pod is not None and not idle:
                started.append((machine, machine.start(component, pod.command), pod))
        for machine, process, pod in started:
            for url in filter(None, (pod.probe, pod.readiness)):
                until_answered(machine, process, url)


def until_answered(machine: Machine, process: Process, url: str) -> None:
    """Wait until a program that was started answers with 200."""
    deadline = time.monotonic() + _BOOT_SECONDS
    while True:
        answer = machine.request(url, until=5)
        if answer.status == 200:
            return
        if not process.alive() or time.monotonic() > deadline:
            others = "\n".join(each.tail() for each in machine.processes if not each.alive())
            raise AssertionError(f"{url}: {answer}\n{process.tail()}\n{others}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a unit file says about running it without systemd."""

    command: tuple[str, ...]
    notifies: bool

    @classmethod
    def read(cls, tree: Path, name: str) -> Unit:
        """Read a rendered unit and its environment file (systemd.service(5), systemd.exec(5))."""
        unit = dict(_settings((tree / "etc/systemd/system" / f"{name}.service").read_text()))
        environment = _environment_file((tree / unit["EnvironmentFile"].lstrip("/")).read_text())
        words: list[str] = []
        for word in shlex.split(unit["ExecStart"]):
            if word.startswith("$"):
                # `$NAME` as a word of its own is split at white space, with quotes as in a shell.
                words.extend(shlex.split(environment[word.removeprefix("$")]))
            else:
                words.append(word)
        return cls(command=tuple(words), notifies=unit["Type"] == "notify")

    def answers_at(self, component: str) -> str:
        """The URL that answers once the program serves; units have no probes."""
        flags = dict(word.removeprefix("--").partition("=")[::2] for word in self.command[1:])
        match component:
            case "etcd":
                return f"{flags['listen-metrics-urls']}/health"
            case "kube-apiserver":
                address = flags["advertise-address"]
                host = f"[{address}]" if ":" in address else address
                return f"https://{host}:{flags['secure-port']}/readyz"
            case "kube-controller-manager":
                return "https://127.0.0.1:10257/healthz"
            case _:
                return "https://127.0.0.1:10259/healthz"


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line and not line.startswith(("#", ";", "[")):
            name, _, value = line.partition("=")
            yield name, value


def _environment_file(text: str) -> dict[str, str]:
    """Assignments with a double-quoted value, in which a backslash ends a line or escapes a character."""
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        name, _, rest = rest.partition("=")
        match = _WORDS.match(rest)
        assert match is not None, rest
        found[name] = re.sub(r'\\([\\"$`])', r"\1", match[1].replace("\\\n", ""))
        rest = rest[match.end() :].strip()
    return found


def boot_units(cluster: Cluster) -> dict[str, set[str]]:
    """Do systemd's part on every machine: start the units' commands, and wait until they answer.

    Returns:
        The units whose programs said READY=1, as `Type=notify` promises, by node.
    """
    ready: dict[str, set[str]] = {name: set() for name in cluster.machines}
    for component in filter(programs.find, programs.COMPONENTS):
        started: list[tuple[str, Process, Unit, socket.socket]] = []
        for name, machine in cluster.machines.items():
            if not (cluster.node(name) / "etc/systemd/system" / f"{component}.service").exists():
                continue
            unit = Unit.read(cluster.node(name), component)
            notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            path = cluster.scratch / f"{name}-{component}.notify"
            notify.bind(str(path))
            environment = {"NOTIFY_SOCKET": str(path)} if unit.notifies else {}
            started.append((name, machine.start(component, unit.command, environment), unit, notify))
        for name, process, unit, notify in started:
            with notify:
                until_answered(cluster.machines[name], process, unit.answers_at(component))
                if unit.notifies and _is_told(notify):
                    ready[name].add(component)
    return ready


def kubelet_says(cluster: Cluster, node: str, configuration: str = "") -> str:
    """How far a kubelet gets that is started as its package's drop-in, or our unit, starts it.

    There is no container runtime, so it ends with looking for one; before that it has taken its flags, its
    configuration and its kubeconfig.

    Args:
        cluster: Whose machines are plugged in.
        node: One of them.
        configuration: Lines that are added to the rendered KubeletConfiguration.
    """
    tree, machine = cluster.node(node), cluster.machines[node]
    if (tree / "etc/systemd/system/kubelet.service").exists():
        command = Unit.read(tree, "kubelet").command
    else:
        files = _environment_file((tree / "var/lib/kubelet/kubeadm-flags.env").read_text())
        command = (*_KUBELET_DROP_IN, *shlex.split(files["KUBELET_KUBEADM_ARGS"]))
    rendered = (tree / "var/lib/kubelet/config.yaml").read_text()
    if not _UNIFIED_CGROUPS.exists():
        configuration += "failCgroupV1: false\n"  # that is about this host; v1.35 and later refuse it
    machine.run("sh", "-c", "cat >/var/lib/kubelet/config.yaml", stdin=rendered + configuration)
    process = machine.start("kubelet", command)
    process.popen.wait(timeout=_BOOT_SECONDS)
    return process.log.read_text()


def _is_told(notify: socket.socket) -> bool:
    notify.settimeout(_NOTIFY_SECONDS)
    try:
        while b"READY=1" not in notify.recv(4096).splitlines():
            pass
    except TimeoutError:
        return False
    return True
