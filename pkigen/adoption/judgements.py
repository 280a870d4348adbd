"""Who judges whom in a foreign cluster, and by which files: every TLS connection that its flags imply."""

from __future__ import annotations

import posixpath
from dataclasses import field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pkigen.adoption.severity import AuditSeverity
from pkigen.desired.connections import Peer
from pkigen.desired.file_references import https_urls, sni_pairs
from pkigen.desired.readers import ComponentName
from pkigen.records import dataclass
from pkigen.spec.addresses import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import (
        ForeignCluster,
        ForeignNode,
        FoundBundle,
        FoundKubeconfig,
        FoundLogin,
        Program,
    )

_KUBELET_PKI: Final = "/var/lib/kubelet/pki"
_KUBEADM_CA: Final = "/etc/kubernetes/pki/ca.crt"
USER_OF: Final = "who uses "
"""What stands before a kubeconfig in the name of whoever has it."""
_PODS: Final = Peer(component="Pods", node=None)
_AGGREGATED: Final = Peer(component="aggregated API servers", node=None)
_Running = tuple["ForeignNode", "Program"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One end of a connection verifies what the other shows.

    `name` is what a client has dialled; empty where a server verifies a client.
    """

    judge: Peer
    judged: Peer
    trust: FoundBundle
    shown: FoundBundle
    name: str = ""
    severity: AuditSeverity = field(default=AuditSeverity.ERROR)


def judgements(cluster: ForeignCluster) -> Iterator[Judgement]:
    """Every judgement for which both files are here."""
    servers = _Servers(
        running=tuple(cluster.running(ComponentName.API_SERVER)), elsewhere=_addresses_of_members(cluster)
    )
    for node, kubeconfig in cluster.each_kubeconfig():
        for login in kubeconfig.logins:
            yield from _of_login(servers, node, kubeconfig, login)
    for running in cluster.running(ComponentName.API_SERVER):
        yield from _to_members(cluster, running)
        yield from _to_kubelets(cluster, running)
        yield from _to_aggregated(cluster, running)
        yield from _from_pods(cluster, running)
    for running in cluster.running(ComponentName.ETCD):
        yield from _between_members(cluster, running)
        yield from _of_own_member(running)


def _client(
    judge: Peer,
    judged: Peer,
    trust: FoundBundle | None,
    shown: FoundBundle | None,
    severity: AuditSeverity = AuditSeverity.ERROR,
) -> Iterator[Judgement]:
    if trust is not None and shown is not None:
        yield Judgement(judge=judge, judged=judged, trust=trust, shown=shown, severity=severity)


def _server(
    judge: Peer, judged: Peer, trust: FoundBundle | None, shown: FoundBundle | None, name: str
) -> Iterator[Judgement]:
    if trust is not None and shown is not None and name:
        yield Judgement(judge=judge, judged=judged, trust=trust, shown=shown, name=name)


# -- towards API servers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """The API servers that are here, and the addresses at which there may be others."""

    running: tuple[_Running, ...]
    elsewhere: frozenset[str]

    def at(self, node: ForeignNode, host: str) -> tuple[_Running, ...]:
        """Those that a node reaches by a host: one by its own address, or all behind a name."""
        if host in LOOPBACK:
            return tuple(each for each in self.running if each[0] is node)
        # --bind-address is no help: mostly it stands for every address of the host.
        own = tuple(each for each in self.running if each[1].flags.value("advertise-address") == host)
        # Any other name or address is a load balancer's, behind which each of them may answer.
        return own or (() if host in self.elsewhere else self.running)


def _of_login(
    servers: _Servers, node: ForeignNode, kubeconfig: FoundKubeconfig, login: FoundLogin
) -> Iterator[Judgement]:
    host = host_of(login.server)
    who = Peer(component=f"{USER_OF}{kubeconfig.spot.path}", node=node.name)
    for at, program in servers.at(node, host):
        if login.verifies:
            name = login.tls_server_name or host
            yield from _server(who, _peer(program), login.trust, _serving(at, program, name), name)
        if login.pair is not None:
            yield from _client(_peer(program), who, at.bundle(program, "client-ca-file"), login.pair.shown)


def host_of(url: str) -> str:
    """The host of a URL; empty where it has none."""
    try:
        return urlsplit(url if "://" in url else f"https://{url}").hostname or ""
    except ValueError:
        return ""


def _addresses_of_members(cluster: ForeignCluster) -> frozenset[str]:
    """The addresses of members of etcd, which are those of control planes whose files may not be here."""
    members = (program.flags.value("initial-cluster") for _, program in cluster.running(ComponentName.ETCD))
    return frozenset(
        host_of(member.partition("=")[2]) for text in members for member in text.split(",") if "=" in member
    )


def _serving(node: ForeignNode, program: Program, name: str) -> FoundBundle | None:
    """What an API server shows to whom asks for a name (apiserver `getNamedCertificateMap`)."""
    for pair in sni_pairs(program.flags):
        parent = f"*.{name.lower().partition('.')[2]}"
        if {name.lower(), parent} & set(pair.names):
            return node.bundle_at(program.flags.host_path(pair.certificate))
    return node.bundle(program, "tls-cert-file")


def _from_pods(cluster: ForeignCluster, running: _Running) -> Iterator[Judgement]:
    """Pods trust what a controller manager publishes, and dial the Service (kube-root-ca.crt)."""
    node, program = running
    # client-go dials the Service's address (rest/config.go `InClusterConfig`); other clients its name.
    names = ("kubernetes.default.svc", _service_address(program.flags.value("service-cluster-ip-range")))
    for publisher, manager in cluster.running(ComponentName.CONTROLLER_MANAGER):
        trust = publisher.bundle(manager, "root-ca-file")
        for name in names:
            yield from _server(_PODS, _peer(program), trust, _serving(node, program, name), name)


def _service_address(text: str) -> str:
    try:
        # The Service `kubernetes` has the first address after the network's own (`GetIndexedIP` with 1).
        return str(ip_network(text.partition(",")[0].strip(), strict=False)[1])
    except (ValueError, IndexError):
        return ""


# -- from API servers -------------------------------------------------------------------------------------


def _to_members(cluster: ForeignCluster, running: _Running) -> Iterator[Judgement]:
    node, program = running
    for text in program.flags.values("etcd-servers"):
        for url in https_urls(text):
            host = url.hostname or ""
            for member, etcd in _members_at(cluster, node, host):
                yield from _server(
                    _peer(program),
                    _peer(etcd),
                    node.bundle(program, "etcd-cafile"),
                    member.bundle(etcd, "cert-file"),
                    host,
                )
                yield from _client_of_member(
                    member, etcd, _peer(program), node.bundle(program, "etcd-certfile")
                )


def _members_at(cluster: ForeignCluster, node: ForeignNode, host: str) -> Iterator[_Running]:
    for member, etcd in cluster.running(ComponentName.ETCD):
        urls = f"{etcd.flags.value('advertise-client-urls')},{etcd.flags.value('listen-client-urls')}"
        # Each member listens at loopback, too, where only its own node reaches it.
        hosts = {url.hostname for url in https_urls(urls)} - LOOPBACK
        if (host in LOOPBACK and member is node) or host in hosts:
            yield member, etcd


def asks_for_certificates(etcd: Program, prefix: str = "") -> bool:
    """Whether an etcd turns away who shows no certificate: it is enough that it has a CA to judge by.

    etcd's `TLSInfo.ServerConfig` (client/pkg/transport/listener.go), whatever `--client-cert-auth` says.

    Args:
        etcd: The member.
        prefix: Of its flags: "peer-" for its peers.
    """
    value = etcd.flags.value
    return bool(value(f"{prefix}trusted-ca-file")) or value(f"{prefix}client-cert-auth") == "true"


def _client_of_member(
    member: ForeignNode,
    etcd: Program,
    judged: Peer,
    shown: FoundBundle | None,
    severity: AuditSeverity = AuditSeverity.ERROR,
) -> Iterator[Judgement]:
    if asks_for_certificates(etcd):
        yield from _client(_peer(etcd), judged, member.bundle(etcd, "trusted-ca-file"), shown, severity)


def _to_kubelets(cluster: ForeignCluster, running: _Running) -> Iterator[Judgement]:
    node, program = running
    shown = node.bundle(program, "kubelet-client-certificate")
    trust = node.bundle(program, "kubelet-certificate-authority")
    for other, kubelet in cluster.running(ComponentName.KUBELET):
        yield from _client(_peer(kubelet), _peer(program), _client_cas(other, kubelet), shown)
        for address in _addresses_of(other):
            yield from _server(_peer(program), _peer(kubelet), trust, _shown_by(other, kubelet), address)


def _shown_by(node: ForeignNode, kubelet: Program) -> FoundBundle | None:
    """A kubelet's serving certificate: named, else asked for through the cluster, else made by itself."""
    if kubelet.flags.value("tls-cert-file"):
        return node.bundle(kubelet, "tls-cert-file")
    asks = kubelet.flags.value("rotate-server-certificates") == "true"
    directory = kubelet.flags.value("cert-dir") or _KUBELET_PKI
    return node.bundle_at(f"{directory}/{'kubelet-server-current.pem' if asks else 'kubelet.crt'}")


def _client_cas(node: ForeignNode, kubelet: Program) -> FoundBundle | None:
    """By what a kubelet judges clients; where its configuration was not copied, as kubeadm configures it."""
    if kubelet.flags.settings or kubelet.flags.value("client-ca-file"):
        return node.bundle(kubelet, "client-ca-file")
    return node.bundle_at(_KUBEADM_CA)


def _addresses_of(node: ForeignNode) -> tuple[str, ...]:
    """Where an API server dials a kubelet, as far as the node's own files say it."""
    found = [program.flags.value("advertise-address") for program in node.running(ComponentName.API_SERVER)]
    found += [program.flags.value("node-ip") for program in node.running(ComponentName.KUBELET)]
    return tuple(dict.fromkeys(each for each in found if _is_address(each)))


def _is_address(text: str) -> bool:
    try:
        return not ip_address(text).is_unspecified
    except ValueError:
        return False


def _to_aggregated(cluster: ForeignCluster, running: _Running) -> Iterator[Judgement]:
    """Aggregated API servers judge by what any API server publishes (extension-apiserver-authentication)."""
    node, program = running
    shown = node.bundle(program, "proxy-client-cert-file")
    for publisher, other in cluster.running(ComponentName.API_SERVER):
        trust = publisher.bundle(other, "requestheader-client-ca-file")
        yield from _client(_AGGREGATED, _peer(program), trust, shown)


# -- etcd -------------------------------------------------------------------------------------------------


def _between_members(cluster: ForeignCluster, running: _Running) -> Iterator[Judgement]:
    """Each member with each, itself too: what a member of its own cluster refuses would refuse the next."""
    node, etcd = running
    for other, theirs in cluster.running(ComponentName.ETCD):
        shown = other.bundle(theirs, "peer-cert-file")
        peer = Peer(component="etcd peer", node=other.name)
        for url in https_urls(theirs.flags.value("initial-advertise-peer-urls")):
            trust = node.bundle(etcd, "peer-trusted-ca-file")
            yield from _server(_peer(etcd), peer, trust, shown, url.hostname or "")
        if asks_for_certificates(etcd, "peer-"):
            yield from _client(_peer(etcd), peer, node.bundle(etcd, "peer-trusted-ca-file"), shown)


def _of_own_member(running: _Running) -> Iterator[Judgement]:
    """The health check that kubeadm makes, and etcd's own gateway, which nobody needs (embed/serve.go)."""
    node, etcd = running
    own = node.bundle(etcd, "cert-file")
    gateway = Peer(component="etcd gateway", node=node.name)
    yield from _client_of_member(node, etcd, gateway, own, AuditSeverity.WARNING)
    trusted = etcd.flags.value("trusted-ca-file")
    if trusted:
        # kubeadm puts it beside the CA.
        directory = posixpath.dirname(etcd.flags.host_path(trusted))
        shown = node.bundle_at(posixpath.join(directory, "healthcheck-client.crt"))
        check = Peer(component="etcd health check", node=node.name)
        yield from _client_of_member(node, etcd, check, shown)


def _peer(program: Program) -> Peer:
    """A component on its node."""
    return Peer(component=str(program.component), node=program.spot.node)
