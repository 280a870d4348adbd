"""The flags of every component but the API server, whose template has them (`api_server`).

They follow kubeadm (`cmd/kubeadm/app/phases/controlplane/manifests.go`, `phases/etcd/local.go`,
`util/arguments.go`, `phases/kubelet/flags.go`); what is ours says so.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.notation import host_text
from pkigen.records import dataclass
from pkigen.spec import versions
from pkigen.spec.etcd_gates import OWN_GATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pkigen.desired.inventory import EtcdMembership
    from pkigen.notation import IPAddress
    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec, Node

# kubeadm's EtcdListenClientPort, EtcdListenPeerPort and EtcdMetricsPort (constants.go).
ETCD_CLIENT_PORT, ETCD_PEER_PORT, ETCD_METRICS_PORT = 2379, 2380, 2381
CONTROLLER_MANAGER_KUBECONFIG = layout.CONTROLLER_MANAGER_KUBECONFIG
SCHEDULER_KUBECONFIG = layout.SCHEDULER_KUBECONFIG
KUBELET_KUBECONFIG = f"{layout.KUBERNETES_DIRECTORY}/kubelet.conf"
KUBELET_CONFIGURATION = f"{layout.KUBELET_DIRECTORY}/config.yaml"
KUBE_PROXY_CONFIGURATION = f"{layout.KUBE_PROXY_DIRECTORY}/config.yaml"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a component."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"--{self.name}={self.value}"


def flag_name(name: str) -> str:
    """The name of a flag of Kubernetes' programs as they know it: `_` is `-` (`WordSepNormalizeFunc`)."""
    return name.replace("_", "-")


def of_argument(argument: str) -> Flag:
    """The flag of `--NAME=VALUE`, by the name that programs know it by."""
    name, _, value = argument.removeprefix("--").partition("=")
    return Flag(flag_name(name), value)


def merged(defaults: Iterable[Flag], extra: Iterable[ExtraArg]) -> tuple[Flag, ...]:
    """Defaults, then the extra flags as given; an extra flag drops every default of its name.

    kubeadm's `ArgumentsToCommand` (util/arguments.go, since v1.36; before, the whole was sorted).
    """
    added = tuple(Flag(arg.name, arg.value) for arg in extra)
    replaced = {flag.name for flag in added}
    return (*(flag for flag in defaults if flag.name not in replaced), *added)


def _in_order(defaults: Mapping[str, str]) -> tuple[Flag, ...]:
    """By name, as kubeadm writes its defaults."""
    return tuple(Flag(name, value) for name, value in sorted(defaults.items()))


def last_value(args: Iterable[ExtraArg], name: str) -> str | None:
    """The value that counts where a flag is given several times (kubeadm's `GetArgValue`)."""
    values = [arg.value for arg in args if arg.name == name]
    return values[-1] if values else None


def localhost(node: Node) -> str:
    """The loopback address of the advertise address's family, as kubeadm chooses it."""
    return "::1" if isinstance(node.advertise_address, IPv6Address) else "127.0.0.1"


def _url(host: IPAddress | str, port: int, scheme: str = "https") -> str:
    """A URL; an IPv6 address stands in brackets (RFC 3986 3.2.2)."""
    text = str(host)
    return f"{scheme}://{f'[{text}]' if ':' in text else text}:{port}"


def _member_url(node: Node, port: int) -> str:
    """The https URL of a member at its advertise address."""
    return f"https://{host_text(node.advertise_address)}:{port}"


def client_url(node: Node) -> str:
    """Where a member's clients reach it."""
    return _member_url(node, ETCD_CLIENT_PORT)


def loopback_url(node: Node) -> str:
    """Where a member's clients on its own node reach it."""
    return _url(localhost(node), ETCD_CLIENT_PORT)


def peer_url(node: Node) -> str:
    """Where a member's peers reach it."""
    return _member_url(node, ETCD_PEER_PORT)


def _joined(networks: Iterable[object]) -> str:
    """A list as flags take it."""
    return ",".join(str(network) for network in networks)


def kube_controller_manager(cluster: ClusterSpec, _node: Node) -> tuple[Flag, ...]:
    """The controller manager's flags."""
    spec = cluster.spec
    directory = spec.certificates.directory
    flags = {
        "authentication-kubeconfig": CONTROLLER_MANAGER_KUBECONFIG,
        "authorization-kubeconfig": CONTROLLER_MANAGER_KUBECONFIG,
        # Only the node's own probes ask it; its metrics need no other interface (CIS 1.3.7).
        "bind-address": "127.0.0.1",
        "client-ca-file": f"{directory}/ca.crt",
        "cluster-name": cluster.name,
        # These two are off by default (kube-controller-manager, app/bootstrap.go), and nodes that join need
        # them.
        "controllers": "*,bootstrapsigner,tokencleaner",
        "kubeconfig": CONTROLLER_MANAGER_KUBECONFIG,
        "leader-elect": "true",
        "requestheader-client-ca-file": f"{directory}/front-proxy-ca.crt",
        "root-ca-file": f"{directory}/ca.crt",
        "service-account-private-key-file": f"{directory}/{layout.SA_PRIVATE_KEY}",
        # Each controller acts with rights of its own, and not with those of all.
        "use-service-account-credentials": "true",
    }
    # Without a CA's key it signs nothing, which kubeadm says with empty flags (controlplane/manifests.go).
    # The certificate has a file of its own, because ca.crt may hold two and this one only one.
    signs = cluster.signs_on_nodes
    flags["cluster-signing-cert-file"] = f"{directory}/{layout.SIGNING_CERTIFICATE}" if signs else ""
    flags["cluster-signing-key-file"] = f"{directory}/ca.key" if signs else ""
    # Without Pod subnets it has none to give to nodes (kubeadm, controlplane/manifests.go).
    if spec.networking.pod_subnets:
        flags["allocate-node-cidrs"] = "true"
        flags["cluster-cidr"] = _joined(spec.networking.pod_subnets)
        flags["service-cluster-ip-range"] = _joined(spec.networking.service_subnets)
    return merged(_in_order(flags), spec.controller_manager.extra_args)


def kube_scheduler(cluster: ClusterSpec, _node: Node) -> tuple[Flag, ...]:
    """The scheduler's flags."""
    flags = {
        "authentication-kubeconfig": SCHEDULER_KUBECONFIG,
        "authorization-kubeconfig": SCHEDULER_KUBECONFIG,
        "bind-address": "127.0.0.1",
        "kubeconfig": SCHEDULER_KUBECONFIG,
        "leader-elect": "true",
    }
    return merged(_in_order(flags), cluster.spec.scheduler.extra_args)


def etcd(cluster: ClusterSpec, node: Node, membership: EtcdMembership) -> tuple[Flag, ...]:
    """An etcd member's flags: a new cluster starts with all founders, who comes later joins what is there."""
    spec = cluster.spec
    known = membership.known_to(node.name)
    directory = f"{spec.certificates.directory}/etcd"
    flags = {
        "advertise-client-urls": client_url(node),
        "cert-file": f"{directory}/server.crt",
        # etcd has no users here: whoever shows a certificate of its CA may read and write everything.
        "client-cert-auth": "true",
        "data-dir": spec.etcd.data_dir,
        "initial-advertise-peer-urls": peer_url(node),
        "initial-cluster": ",".join(
            f"{member.name}={peer_url(member)}" for member in cluster.etcd_members if member.name in known
        ),
        "key-file": f"{directory}/server.key",
        "listen-client-urls": f"{loopback_url(node)},{client_url(node)}",
        # Plain HTTP on the loopback address: the kubelet's probes show no certificate.
        "listen-metrics-urls": _url(localhost(node), ETCD_METRICS_PORT, "http"),
        "listen-peer-urls": peer_url(node),
        "name": node.name,
        "peer-cert-file": f"{directory}/peer.crt",
        "peer-client-cert-auth": "true",
        "peer-key-file": f"{directory}/peer.key",
        "peer-trusted-ca-file": f"{directory}/ca.crt",
        "snapshot-count": "10000",
        "trusted-ca-file": f"{directory}/ca.crt",
    }
    # Otherwise it would wait for a new cluster of these members instead of joining the running one.
    if node.name in membership.joined:
        flags["initial-cluster-state"] = "existing"
    if versions.etcd_has_feature_gates(spec.kubernetes_version, spec.etcd.image_tag):
        flags["feature-gates"] = OWN_GATES
        flags["watch-progress-notify-interval"] = "5s"
    else:
        flags["experimental-initial-corrupt-check"] = "true"
        flags["experimental-watch-progress-notify-interval"] = "5s"
    return merged(_in_order(flags), spec.etcd.extra_args)


def kubelet(cluster: ClusterSpec, node: Node) -> tuple[Flag, ...]:
    """What the kubelet gets on top of the command line of its package's unit."""
    common = cluster.spec.kubelet.extra_args
    own = {arg.name for arg in node.kubelet_extra_args}
    # A node's own flag replaces every common one of that name, as an extra one replaces a default.
    extra = (*(arg for arg in common if arg.name not in own), *node.kubelet_extra_args)
    # Certificates name the node as the spec does, whatever the host itself is called.
    defaults = {"hostname-override": node.name}
    if node.addresses:
        defaults["node-ip"] = _node_ip(node)
    return merged(_in_order(defaults), extra)


def kubelet_of_systemd(cluster: ClusterSpec, node: Node) -> tuple[Flag, ...]:
    """The kubelet's whole command line where the unit is ours."""
    files = {"config": KUBELET_CONFIGURATION, "kubeconfig": KUBELET_KUBECONFIG}
    rest = kubelet(cluster, node)
    given = {flag.name for flag in rest}
    return (*(Flag(name, value) for name, value in files.items() if name not in given), *rest)


def kube_proxy(_cluster: ClusterSpec, _node: Node) -> tuple[Flag, ...]:
    """kube-proxy's flags: all its settings are in its configuration file."""
    return (Flag("config", KUBE_PROXY_CONFIGURATION),)


def _node_ip(node: Node) -> str:
    """The advertise address and, for dual stack, the first of the other family (kubelet `--node-ip`)."""
    first = node.advertise_address
    other = next((address for address in node.addresses if address.version != first.version), None)
    return str(first) if other is None else f"{first},{other}"
