"""Who a certificate says that its holder is, by CN and O."""

from __future__ import annotations

import posixpath
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pkigen.access.kubeconfigs import Section
from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.put_away import is_rotated
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.names import subject_of
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry
    from pkigen.adoption.found import ForeignCluster, ForeignNode, FoundLogin, FoundPair, Program

MASTERS: Final = "system:masters"
LONG: Final = timedelta(days=400)
"""kubeadm gives a year; more is long for what nobody can take back."""
_NODE: Final = "system:node:"
_NODES: Final = "system:nodes"
_USERS: Final = {
    ComponentName.CONTROLLER_MANAGER: "system:kube-controller-manager",
    ComponentName.SCHEDULER: "system:kube-scheduler",
    ComponentName.KUBE_PROXY: "system:kube-proxy",
}


def _component_logins(node: ForeignNode) -> Iterator[tuple[Program, FoundLogin, FoundPair]]:
    for program in node.programs:
        value = program.flags.value("kubeconfig")
        kubeconfig = node.kubeconfig(program.flags.host_path(value)) if value else None
        login = kubeconfig.current if kubeconfig is not None else None
        if login is not None and login.pair is not None:
            yield program, login, login.pair


def wrong_identity(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A component that the API server knows by another name."""
    for node in cluster.nodes:
        for program, _, pair in _component_logins(node):
            fault = _fault(node, program, pair)
            if fault is not None:
                yield AuditFinding(
                    rule=AuditRule.WRONG_IDENTITY,
                    severity=AuditSeverity.ERROR,
                    spot=pair.spot,
                    detail=f"{program} is {subject_of(pair.certificate)} to the API server: {fault}",
                )


def _fault(node: ForeignNode, program: Program, pair: FoundPair) -> str | None:
    subject = subject_of(pair.certificate)
    if program.component is not ComponentName.KUBELET:
        wanted = _USERS.get(program.component)
        # RBAC has no user for the others: the API server and etcd come in by no kubeconfig.
        return None if wanted in {None, subject.common_name} else f"RBAC knows it as {wanted}"
    # Both are needed (pkg/auth/nodeidentifier/default.go `NodeIdentity`).
    if not subject.common_name.startswith(_NODE):
        return f"the Node authorizer wants CN={_NODE}NAME"
    if _NODES not in subject.organizations:
        return f"the Node authorizer wants O={_NODES}"
    name = _node_name(node)
    if name and subject.common_name != _NODE + name:
        return f"this node is {name}, by the flags of its components"
    return None


def _node_name(node: ForeignNode) -> str:
    """What the node is called in the cluster, where its files say it."""
    names = [program.flags.value("hostname-override") for program in node.running(ComponentName.KUBELET)]
    # kubeadm calls a member as its node (etcd/local.go); others who run etcd in a static Pod may not.
    names += [
        program.flags.value("name")
        for program in node.running(ComponentName.ETCD)
        if program.spot.path.startswith("/etc/kubernetes/manifests/")
    ]
    # The kubelet takes its name in lower case (component-helpers node/util `GetHostname`).
    return next(iter(filter(None, names)), "").lower()


def wrong_administrator(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """The credentials of kubeadm, by their files' names: without their groups they may do nothing."""
    for node in cluster.nodes:
        for pair in node.pairs:
            subject = subject_of(pair.certificate)
            groups = _GROUPS.get(posixpath.basename(pair.spot.path), frozenset())
            if groups and not groups & {*subject.organizations, f"CN={subject.common_name}"}:
                wanted = " or ".join(f"O={each}".replace("O=CN=", "CN=") for each in sorted(groups))
                yield AuditFinding(
                    rule=AuditRule.WRONG_IDENTITY,
                    severity=AuditSeverity.ERROR,
                    spot=pair.spot,
                    detail=f"it is {subject}, to which nothing is allowed: kubeadm gives it {wanted}",
                )


_ADMINISTRATORS: Final = frozenset({MASTERS, "kubeadm:cluster-admins"})
# What begins with CN= is a user: newer kubeadm gives this certificate no group (certs/certlist.go).
_GROUPS: Final = {
    "admin.conf": _ADMINISTRATORS,
    "super-admin.conf": frozenset({MASTERS}),
    "apiserver-kubelet-client.crt": _ADMINISTRATORS | {"CN=kube-apiserver-kubelet-client"},
}


def administrator_on_worker(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """An administrator's credential on a node that runs none of the control plane."""
    for node in filter(is_worker, cluster.nodes):
        for pair in node.pairs:
            subject = subject_of(pair.certificate)
            # Without its key it is no credential: anybody may have the certificate.
            if pair.private is not None and _ADMINISTRATORS.intersection(subject.organizations):
                yield AuditFinding(
                    rule=AuditRule.ADMINISTRATOR_ON_WORKER,
                    severity=AuditSeverity.WARNING,
                    spot=pair.spot,
                    detail=f"the credential of {subject} is on a worker",
                )


def is_worker(node: ForeignNode) -> bool:
    """Whether a node has a kubelet, and nothing of the control plane."""
    components = {program.component for program in node.programs}
    return ComponentName.KUBELET in components and not components & _CONTROL_PLANE


_CONTROL_PLANE: Final = {ComponentName.API_SERVER, ComponentName.CONTROLLER_MANAGER, ComponentName.ETCD}


def one_node_twice(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Two kubelets that are the same node to the API server."""
    seen: dict[str, str] = {}
    for node in cluster.nodes:
        for program, _, pair in _component_logins(node):
            name = subject_of(pair.certificate).common_name
            if program.component is ComponentName.KUBELET and name.startswith(_NODE):
                first = seen.setdefault(name, node.name)
                if first != node.name:
                    yield AuditFinding(
                        rule=AuditRule.WRONG_IDENTITY,
                        severity=AuditSeverity.ERROR,
                        spot=pair.spot,
                        detail=f"the kubelets of {first} and {node.name} are both {name}",
                    )


def wrong_power(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A component with the power of an administrator."""
    for node in cluster.nodes:
        for program, _, pair in _component_logins(node):
            if MASTERS in subject_of(pair.certificate).organizations:
                yield AuditFinding(
                    rule=AuditRule.WRONG_POWER,
                    severity=AuditSeverity.WARNING,
                    spot=pair.spot,
                    detail=f"{program} is in {MASTERS}",
                )


def long_lived_masters(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Power that cannot be taken back, by how long it still lasts."""
    for found in cluster.each_certificate():
        certificate = found.certificate
        # What follows the first one of a file is its chain, whose subjects are CAs and no users.
        if found.position or MASTERS not in subject_of(certificate).organizations:
            continue
        left = certificate.not_valid_after_utc - cluster.now
        if left > timedelta():
            yield AuditFinding(
                rule=AuditRule.LONG_LIVED_MASTERS,
                severity=AuditSeverity.WARNING if left > LONG else AuditSeverity.INFORMATION,
                spot=found.spot,
                detail=f"{subject_of(certificate)} is valid for another {left.days} days",
            )


def without_credential(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A component whose kubeconfig has nothing to show: the API server takes it for system:anonymous."""
    for node in cluster.nodes:
        for program in node.programs:
            value = program.flags.value("kubeconfig")
            kubeconfig = node.kubeconfig(program.flags.host_path(value)) if value else None
            user = _current_user(kubeconfig.content) if kubeconfig is not None else None
            # Whether it is good is for the checks of certificates, or cannot be seen, as with a token.
            if kubeconfig is not None and user is not None and not _CREDENTIALS.intersection(user.fields):
                yield AuditFinding(
                    rule=AuditRule.WRONG_IDENTITY,
                    severity=AuditSeverity.ERROR,
                    spot=kubeconfig.spot,
                    detail=f"{program} is anonymous: the user {user.name} has no credential",
                )


def _current_user(content: Kubeconfig) -> NamedEntry | None:
    context = content.entries[Section.CONTEXT].get(content.current_context)
    return content.find(Section.USER, context.text("user")) if context is not None else None


_CREDENTIALS: Final = frozenset(
    {
        *("client-certificate", "client-certificate-data", "token", "tokenFile"),
        *("username", "exec", "auth-provider"),
    }
)
"""What a user of a kubeconfig may come in with (client-go tools/clientcmd/api/v1)."""


def not_renewed(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A kubelet whose kubeconfig holds its certificate, or that is told not to renew it: nobody does."""
    for node in cluster.nodes:
        for program, login, pair in _component_logins(node):
            if program.component is not ComponentName.KUBELET:
                continue
            if pair.spot.path == login.spot.path:
                yield AuditFinding(
                    rule=AuditRule.NOT_RENEWED,
                    severity=AuditSeverity.INFORMATION,
                    spot=login.spot,
                    detail="it holds the kubelet's certificate instead of naming its file",
                )
            elif is_rotated(pair.spot.path) and program.flags.value("rotate-certificates") == "false":
                yield AuditFinding(
                    rule=AuditRule.NOT_RENEWED,
                    severity=AuditSeverity.WARNING,
                    spot=login.spot,
                    detail=f"the kubelet has written {pair.spot.path}, and does not renew it: "
                    "rotateCertificates is false",
                )
