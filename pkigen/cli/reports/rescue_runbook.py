"""How a cluster is recovered after all of its certificates have expired, in order, for a person with paper.

etcd comes first, since API servers wait for it; then the API servers, the controller managers (which publish
the CA to Pods), the schedulers, the kubelets, and last of all clients. The members of etcd are restarted
together: one alone, before its peers have new certificates, finds no quorum and never gets well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.addressed import addressed
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.tables import page
from pkigen.desired.readers import ComponentName
from pkigen.layout import KUBERNETES_DIRECTORY
from pkigen.notation import dir_option, host_text, quoted
from pkigen.reconcile.file_readers import Effect, own_kubelet_certificate
from pkigen.reconcile.restart_commands import health_check, restart_commands
from pkigen.reconcile.restart_map import Restart
from pkigen.spec.certificates import Authority, KeyHome
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.spec.model import Node

_KUBELET_PORT = 10250
_ETCD_PORT = 2379


def rescue_runbook(inventory: Inventory, in_cluster: Sequence[ClusterStep], *, directory: str) -> str:
    """The runbook as numbered text.

    Args:
        inventory: Of this cluster.
        in_cluster: What earlier changes have left to do in the running cluster.
        directory: Where the PKI directory is.
    """
    book = _RescueRunbook(inventory, in_cluster, directory)
    lines = [f"cluster {inventory.cluster.name}: after its certificates have expired", ""]
    for number, (title, *body) in enumerate(book.sections(), start=1):
        lines += [f"{number}. {title}", *(f"   {line}".rstrip() for line in body), ""]
    return page(addressed(line, directory) for line in lines)


class _RescueRunbook:
    def __init__(self, inventory: Inventory, in_cluster: Sequence[ClusterStep], directory: str) -> None:
        self._in_cluster = in_cluster
        self._cluster = inventory.cluster
        self._spec = inventory.cluster.spec
        self._directory = directory

    def sections(self) -> Iterator[list[str]]:
        yield self._trees()
        yield self._copy()
        if self._cluster.etcd_members:
            yield self._component(
                ComponentName.ETCD,
                self._cluster.etcd_members,
                "all members, one right after the other: none becomes healthy before a majority runs",
                self._etcd_took,
            )
        planes = self._cluster.control_plane
        yield self._component(ComponentName.API_SERVER, planes, "once etcd is healthy", self._api_server_took)
        yield self._component(
            ComponentName.CONTROLLER_MANAGER,
            planes,
            "they also publish the CA to every namespace (ConfigMap kube-root-ca.crt)",
            self._well,
        )
        yield self._component(ComponentName.SCHEDULER, planes, "as before", self._well)
        yield self._kubelets()
        yield self._clients()

    def _trees(self) -> list[str]:
        return [
            "New trees, on the machine that has the authority or the rescue kit",
            "Check the clock first: certificates are valid from now on.",
            f"  pkigen rescue {dir_option(self._directory)}",
            f"  # or, from a kit: pkigen rescue KIT {dir_option(self._directory)}",
            f"  pkigen verify {dir_option(self._directory)}",
            "No API server is contacted. A second run changes nothing.",
            *self._askers(),
        ]

    def _askers(self) -> Iterator[str]:
        """Whoever signs or holds keys elsewhere has to be asked, and answers by file."""
        if self._spec.certificates.authority is Authority.OFFLINE:
            yield "What the offline authority signs: `pkigen airgap authority request` here,"
            yield "`sign` there, then `accept` here."
        nodes = sorted(self._spec.nodes, key=lambda node: node.name)
        own = [node.name for node in nodes if self._cluster.key_home(node) is KeyHome.NODE]
        if own:
            yield f"Nodes that hold their own keys request certificates again: {', '.join(own)}."
            yield "On each `pkigen airgap node request`, here `pkigen airgap node approve`;"
            yield "the answers are installed next."

    def _quoted(self, path: str) -> str:
        """A path in the PKI directory, as a shell is given it."""
        return quoted(f"{self._directory}/{path}")

    def _copy(self) -> list[str]:
        names = ", ".join(node.name for node in sorted(self._spec.nodes, key=lambda node: node.name))
        return [
            "Every node's files, before anything is restarted",
            f"Nodes: {names}. To each its own tree, and no other's:",
            f"  rsync --archive --chown=root:root {self._quoted('nodes')}/NAME/ root@NAME:/",
            "  # or, by medium: pkigen airgap bundle create … here,",
            "  # pkigen airgap bundle install … there",
            # Certificates begin at the time of the machine that made them, dated back by minutes at most.
            "A node whose clock is wrong refuses valid certificates: compare `date` on each.",
            "Where a machine or its kubelet is off, `systemctl enable --now kubelet` starts all that is",
            "on it; go through the checks below in this order all the same.",
        ]

    def _component(
        self, component: ComponentName, nodes: Iterable[Node], remark: str, took: _Check
    ) -> list[str]:
        """Restart one component on its nodes in turn, each with what shows that it is back."""
        nodes = tuple(nodes)
        lines = [f"{component}: {remark}"]
        for node in nodes:
            lines.append(f"on {node.name}:")
            step = Restart(node=node.name, component=component, effect=Effect.RESTART, files=())
            lines += [f"  {command}" for command in restart_commands(step, self._cluster)]
        lines.append("done when each of these succeeds:")
        for node in nodes:
            lines += [f"  {node.name}: {line}" for line in took(component, node)]
        return lines

    def _well(self, component: ComponentName, node: Node) -> Iterator[str]:
        step = Restart(node=node.name, component=component, effect=Effect.RESTART, files=())
        yield health_check(step, self._cluster)

    def _etcd_took(self, component: ComponentName, node: Node) -> Iterator[str]:
        yield from self._well(component, node)
        yield _end_of(host_text(node.advertise_address), _ETCD_PORT)

    def _api_server_took(self, _component: ComponentName, node: Node) -> Iterator[str]:
        # Not through the control plane's common address: behind that another one might answer.
        server = self._cluster.local_server(node)
        probe = f"kubectl --kubeconfig {KUBERNETES_DIRECTORY}/admin.conf --server {server} get --raw /readyz"
        yield f"until {probe} >/dev/null; do sleep 1; done"
        yield _end_of(host_text(node.advertise_address), self._cluster.api_port(node))

    def _kubelets(self) -> list[str]:
        lines = ["kubelet: control planes first, then workers"]
        planes = {node.name for node in self._cluster.control_plane}
        nodes = sorted(self._spec.nodes, key=lambda node: (node.name not in planes, node.name))
        for node in nodes:
            own = own_kubelet_certificate(self._cluster, node)
            step = Restart(
                node=node.name,
                component=ComponentName.KUBELET,
                effect=Effect.RESTART,
                files=(),
                forgets=() if own is None else (own,),  # its own has ended too
            )
            lines.append(f"on {node.name}:")
            lines += [f"  {command}" for command in restart_commands(step, self._cluster)]
        lines.append("done when every node is Ready and serves its new certificate:")
        lines.append(f"  kubectl --kubeconfig {KUBERNETES_DIRECTORY}/admin.conf get nodes --watch")
        lines += [
            f"  {node.name}: {_end_of(host_text(node.addresses[0]), _KUBELET_PORT)}"
            for node in nodes
            if node.addresses
        ]
        return lines

    def _clients(self) -> list[str]:
        lines = ["Clients, last of all"]
        if self._spec.runtime is Runtime.SYSTEMD:
            lines.append("kube-proxy, on every node: systemctl restart kube-proxy")
        # Of system:masters, which RBAC does not judge: the binding that admin.conf gets its rights from may
        # be among what is applied (kubeadm phases/kubeconfig `EnsureAdminClusterRoleBinding`).
        admin = f"nodes/{self._cluster.control_plane[0].name}{KUBERNETES_DIRECTORY}/super-admin.conf"
        lines += [
            f"RBAC: kubectl --kubeconfig {self._quoted(admin)} apply -f {self._quoted('addons/')}",
            *(line.text for line in cluster_lines(self._in_cluster, self._directory)),
            f"people: distribute {self._quoted('users')}/*.conf again, and every admin.conf that was copied",
            "Pods: those that read the CA or their token at start only must start again: `kubectl rollout",
            "restart`, beginning with the network plugin and kube-proxy",
            # A CA that was revived has a new certificate, and `kubeadm join` trusts the one in there.
            "joining nodes: kube-public/cluster-info contains the CA certificate too: write it again",
            f"proof: pkigen verify --live {dir_option(self._directory)}",
            "then: make a new rescue kit (`pkigen airgap bundle create --rescue`), and put",
            "`pkigen status --fail-within renewBefore` on a timer",
        ]
        return lines


def _end_of(host: str, port: int) -> str:
    """What shows when the certificate ends that is served there; nothing is verified."""
    return f"openssl s_client -connect {host}:{port} </dev/null 2>/dev/null | openssl x509 -noout -enddate"


if TYPE_CHECKING:
    from collections.abc import Callable

    _Check = Callable[[ComponentName, Node], Iterable[str]]
