"""Which files each component on each node reads, and what a change of one asks of it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.generations import CA, Phase, ca_id
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    FileKind,
    MaterialKind,
)
from pkigen.desired.readers import ComponentName, ReadBy, Reading
from pkigen.desired.rendering.flags import last_value
from pkigen.records import dataclass
from pkigen.spec.flag_values import is_true
from pkigen.spec.model import ManagedFiles
from pkigen.spec.versions import client_go_reads_ca_files_again

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired
    from pkigen.spec.model import ClusterSpec, Node


class Effect(enum.StrEnum):
    """What a changed file asks of the component that reads it, the weightiest first.

    The first three are asked of an etcd member because one leaves, comes or moves, which the step names.
    """

    # A member that is gone counts for the quorum until it is removed, so that comes first.
    EXPELS = "removes a member"
    ADMITS = "adds a member"
    MOVES = "updates a member"
    STARTS = "starts for the first time"
    RESTART = "restart"
    RECREATED = "recreated by the kubelet"
    RELOADS = "reloads by itself"


_EFFECTS = {
    Reading.AT_START: Effect.RESTART,
    Reading.ON_CHANGE: Effect.RELOADS,
    # Only some versions read them again, see `_rereading`.
    Reading.BY_CLIENT_GO: Effect.RESTART,
    Reading.BY_KUBECONFIG: Effect.RESTART,
    Reading.PER_CONNECTION: Effect.RELOADS,
}


def _read_by(reading: Reading, *components: ComponentName) -> tuple[ReadBy, ...]:
    """A row of readers that all read in the same way."""
    return tuple(ReadBy(component=component, reading=reading) for component in components)


_MATERIAL_READERS: dict[tuple[MaterialKind, CA | None], tuple[ReadBy, ...]] = {
    (MaterialKind.TRUST_BUNDLE, CA.KUBERNETES): (
        # --client-ca-file reloads, --kubelet-certificate-authority from 1.36 on, --root-ca-file never.
        *_read_by(Reading.BY_CLIENT_GO, ComponentName.API_SERVER),
        *_read_by(Reading.AT_START, ComponentName.CONTROLLER_MANAGER),
        *_read_by(Reading.ON_CHANGE, ComponentName.KUBELET),
    ),
    (MaterialKind.TRUST_BUNDLE, CA.ETCD): _read_by(
        Reading.AT_START, ComponentName.ETCD, ComponentName.API_SERVER
    ),
    # --requestheader-client-ca-file (apiserver, dynamiccertificates).
    (MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY): _read_by(
        Reading.ON_CHANGE, ComponentName.API_SERVER, ComponentName.CONTROLLER_MANAGER
    ),
    (MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES): _read_by(
        Reading.ON_CHANGE, ComponentName.CONTROLLER_MANAGER
    ),
    (MaterialKind.CA_KEY, CA.KUBERNETES): _read_by(Reading.ON_CHANGE, ComponentName.CONTROLLER_MANAGER),
    # kubeadm's `certs renew` signs with these; no component reads them.
    (MaterialKind.CA_KEY, CA.ETCD): (),
    (MaterialKind.CA_KEY, CA.FRONT_PROXY): (),
    # Both sign tokens: the API server bound ones, the controller manager those of Secrets.
    (MaterialKind.SA_PRIVATE_KEY, None): _read_by(
        Reading.AT_START, ComponentName.API_SERVER, ComponentName.CONTROLLER_MANAGER
    ),
    (MaterialKind.SA_PUBLIC_KEY, None): _read_by(Reading.AT_START, ComponentName.API_SERVER),
}
_FILE_READERS: dict[FileKind, tuple[ComponentName, Effect]] = {
    FileKind.ETCD: (ComponentName.ETCD, Effect.RECREATED),
    FileKind.KUBE_APISERVER: (ComponentName.API_SERVER, Effect.RECREATED),
    FileKind.KUBE_CONTROLLER_MANAGER: (ComponentName.CONTROLLER_MANAGER, Effect.RECREATED),
    FileKind.KUBE_SCHEDULER: (ComponentName.SCHEDULER, Effect.RECREATED),
    FileKind.ETCD_UNIT: (ComponentName.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_UNIT: (ComponentName.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_UNIT: (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_UNIT: (ComponentName.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_UNIT: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_UNIT: (ComponentName.KUBE_PROXY, Effect.RESTART),
    FileKind.ETCD_FLAGS: (ComponentName.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_FLAGS: (ComponentName.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_FLAGS: (ComponentName.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_FLAGS: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_FLAGS: (ComponentName.KUBE_PROXY, Effect.RESTART),
    FileKind.KUBELET_CONFIGURATION: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_CONFIGURATION: (ComponentName.KUBE_PROXY, Effect.RESTART),
    # A kubeconfig is read at start alone; only files that it names may be read again (`_effect_of`).
    FileKind.CONTROLLER_MANAGER_KUBECONFIG: (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.SCHEDULER_KUBECONFIG: (ComponentName.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_KUBECONFIG: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_KUBECONFIG: (ComponentName.KUBE_PROXY, Effect.RESTART),
    # It is read again by --encryption-provider-config-automatic-reload alone, which is off by default.
    FileKind.ENCRYPTION_CONFIGURATION: (ComponentName.API_SERVER, Effect.RESTART),
    # kubernetes#123525 (v1.30, the first that reads it): it watches the file; see `_at_start_alone`.
    FileKind.AUTHENTICATION_CONFIGURATION: (ComponentName.API_SERVER, Effect.RELOADS),
    # pkg/kubeapiserver/authorizer/reload.go: it watches the file, and looks again every minute.
    FileKind.AUTHORIZATION_CONFIGURATION: (ComponentName.API_SERVER, Effect.RELOADS),
    # Read again with the other file only; but what it says never changes.
    FileKind.AUTHORIZATION_WEBHOOK: (ComponentName.API_SERVER, Effect.RELOADS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Files that a component on a node reads, and what a change of them asks of it.

    `is_own` says that they were made for it; copies of the authority's files are there for whoever runs.
    """

    running: Running
    effect: Effect
    files: tuple[str, ...]
    is_own: bool


def reads_of(inventory: Inventory) -> Iterator[Read]:
    """Which files each component on each node reads, and what a change of them asks of it."""
    present, rereading = components_on_nodes(inventory), _rereading(inventory)
    for item in inventory.items:
        if item.node is not None:
            for component, effect in _readers(item, inventory, present, rereading):
                yield Read(
                    running=(component, item.node),
                    effect=effect,
                    files=item.read_paths if isinstance(item, DesiredCertificate) else item.paths,
                    is_own=isinstance(item, DesiredCertificate | DesiredFile),
                )


def own_kubelet_certificate(cluster: ClusterSpec, node: Node) -> str | None:
    """Where a kubelet keeps the client certificate that it renews itself, if it does (`--cert-dir`)."""
    extra = (*cluster.spec.kubelet.extra_args, *node.kubelet_extra_args)
    # A flag counts more than the configuration file.
    renews = last_value(extra, "rotate-certificates") or str(cluster.spec.kubelet.rotate_certificates)
    if not is_true(renews):
        return None
    return f"{last_value(extra, 'cert-dir') or layout.KUBELET_PKI_DIRECTORY}/kubelet-client-current.pem"


Running = tuple[ComponentName, str]
"""A component on a node."""


def _readers(
    item: Desired,
    inventory: Inventory,
    present: Mapping[str, set[ComponentName]],
    rereading: Collection[Running],
) -> Iterator[tuple[ComponentName, Effect]]:
    """Who reads an item, and what a change of it asks of them; a KeyError where the tables do not know it."""
    match item:
        case DesiredCertificate():
            for reader in item.kind.readers:
                yield reader.component, _effect_of(item, reader, inventory.cluster)
        case DesiredCopy():
            for reader in _readers_of_copy(item, present):
                again = (reader.component, item.node) in rereading
                reloads = again and reader.reading is Reading.BY_CLIENT_GO
                yield reader.component, Effect.RELOADS if reloads else _EFFECTS[reader.reading]
        case DesiredFile():
            yield _FILE_READERS[item.kind]
        case _:
            pass  # a kubeconfig's certificate speaks for it; everything else is on no node


def _readers_of_copy(item: DesiredCopy, present: Mapping[str, set[ComponentName]]) -> tuple[ReadBy, ...]:
    """Who reads a copy of the authority's on its node."""
    if item.reader is not None:
        return _read_by(Reading.BY_CLIENT_GO, item.reader)
    readers = _MATERIAL_READERS[item.material, item.ca]
    return tuple(reader for reader in readers if reader.component in present[item.node])


def _effect_of(item: DesiredCertificate, reader: ReadBy, cluster: ClusterSpec) -> Effect:
    """What another certificate asks of who reads it."""
    by_path = reader.reading is Reading.BY_KUBECONFIG and item.kind.is_by_path(cluster)
    if not by_path or (reader.component is ComponentName.KUBELET and _keeps_its_own(item.node, cluster)):
        return _EFFECTS[reader.reading]
    return Effect.RELOADS


def _keeps_its_own(node: str | None, cluster: ClusterSpec) -> bool:
    """Whether a kubelet has a certificate of its own, and with it the CA that it read at start.

    pkg/kubelet/certificate/transport.go: its own transport takes the place of client-go's, which reads again.
    """
    named = next(each for each in cluster.spec.nodes if each.name == node)
    # Of a kubelet whose files are not pkigen's nobody knows here what it has: it may have one.
    return not cluster.manages(ManagedFiles.KUBELET) or own_kubelet_certificate(cluster, named) is not None


def _rereading(inventory: Inventory) -> set[Running]:
    """Who reads the CA files by which it judges servers again while it runs.

    That is so every five minutes. Until then the cross certificate carries what `promote` brings: without it
    there is no telling when that is safe, short of a restart.
    """
    rotations, ca = inventory.rotations, ca_id(CA.KUBERNETES)
    if rotations.phase(ca) is Phase.PREPARED and ca not in rotations.crossed:
        return set()
    lines, version = CommandLines(inventory), inventory.cluster.spec.kubernetes_version
    return {
        (component, node.name)
        for component, node in _with_ca_files(inventory.cluster)
        if client_go_reads_ca_files_again(version, _gates(lines, component, node))
    }


def _with_ca_files(cluster: ClusterSpec) -> Iterator[tuple[ComponentName, Node]]:
    """What judges servers by a CA file that client-go reads."""
    for node in cluster.control_plane:
        for component in (
            ComponentName.API_SERVER,
            ComponentName.CONTROLLER_MANAGER,
            ComponentName.SCHEDULER,
        ):
            yield component, node
    for node in cluster.spec.nodes:
        yield ComponentName.KUBE_PROXY, node
        if not _keeps_its_own(node.name, cluster):
            yield ComponentName.KUBELET, node


def _gates(lines: CommandLines, component: ComponentName, node: Node) -> tuple[str, ...]:
    """The feature gates that a component is started with; kube-proxy's flags name its configuration alone."""
    if component is ComponentName.KUBE_PROXY:
        return ()
    return lines.of(component, node).values("feature-gates")


def components_on_nodes(inventory: Inventory) -> dict[str, set[ComponentName]]:
    """What of the control plane and the kubelet runs on each node."""
    cluster = inventory.cluster
    present = {node.name: {ComponentName.KUBELET} for node in cluster.spec.nodes}
    for node in cluster.control_plane:
        present[node.name] |= {
            ComponentName.API_SERVER,
            ComponentName.CONTROLLER_MANAGER,
            ComponentName.SCHEDULER,
        }
    for node in cluster.etcd_members:
        present[node.name].add(ComponentName.ETCD)
    return present
