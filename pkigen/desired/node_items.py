"""Everything that one node must have: copies of the authority's files, certificates, and what it runs by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired import authentication, authorization, certificates
from pkigen.desired.certificate_items import node_certificate, pki_path
from pkigen.desired.certificates import CertificateKind, Holder, KubeconfigTo, PairAt
from pkigen.desired.generations import CA, Rotations, Slot, accepted_sa_keys
from pkigen.desired.items import Desired, DesiredCopy, DesiredFile, FileKind, MaterialKind
from pkigen.spec.certificates import KubeadmCA
from pkigen.spec.model import ClusterSpec, ManagedFiles, Node, Role, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class NodeItems:
    """The walk over one node at a time; what is the same for all of them is found out once."""

    def __init__(self, cluster: ClusterSpec, rotations: Rotations) -> None:
        self._cluster = cluster
        self._rotations = rotations
        self._spec = cluster.spec
        self._members = {node.name for node in cluster.etcd_members}
        # By name and not by the order in the spec: moving a line must not move the break-glass kubeconfig.
        self._first = min((node.name for node in cluster.control_plane), default="")
        self._kinds = [kind for kind in certificates.CERTIFICATES if kind.absence(cluster) is None]
        self._manages_manifests = cluster.manages(ManagedFiles.MANIFESTS)
        self._manages_kubelet = cluster.manages(ManagedFiles.KUBELET)
        self._pairs = [kind for kind in self._kinds if isinstance(kind.place, PairAt)]
        self._kubeconfigs = [kind for kind in self._kinds if isinstance(kind.place, KubeconfigTo)]

    def of(self, node: Node) -> Iterator[Desired]:
        """Every object of one node, those that others depend on first."""
        control_plane, member = node.has(Role.CONTROL_PLANE), node.name in self._members
        yield self._copy(node, "ca.crt", MaterialKind.TRUST_BUNDLE, CA.KUBERNETES)
        # API servers verify etcd too; with an external etcd there is no such CA.
        if member or (control_plane and self._members):
            yield self._copy(node, "etcd/ca.crt", MaterialKind.TRUST_BUNDLE, CA.ETCD)
        if member:
            yield from self._certificates(node, self._kinds, Holder.ETCD_MEMBER)
            yield from self._component(node, FileKind.ETCD, FileKind.ETCD_UNIT, FileKind.ETCD_FLAGS)
        if control_plane:
            yield from self._control_plane(node)
        yield from self._certificates(node, self._kinds, Holder.NODE)
        yield from self._kubelet_files(node)
        if self._spec.runtime is Runtime.SYSTEMD:
            yield from self._certificates(node, self._kinds, Holder.KUBE_PROXY)
            yield from self._kube_proxy_files(node)

    # -- certificates ---------------------------------------------------------------------------------

    def _certificates(
        self, node: Node, kinds: Iterable[CertificateKind], *holders: Holder
    ) -> Iterator[Desired]:
        """A node's certificates of those of some kinds that it holds, in the order of the table."""
        for kind in kinds:
            if kind.holder in holders:
                yield from node_certificate(kind, self._cluster, node)

    # -- the control plane ----------------------------------------------------------------------------

    def _control_plane(self, node: Node) -> Iterator[Desired]:
        """What a control-plane node has beside what every node has."""
        holders = [Holder.CONTROL_PLANE]
        if node.name == self._first:
            holders.append(Holder.FIRST_CONTROL_PLANE)
        yield from self._authority_copies(node)
        yield from self._certificates(node, self._pairs, *holders)
        if self._spec.encryption is not None:
            yield DesiredFile(
                path=pki_path(self._cluster, node.name, layout.ENCRYPTION_CONFIGURATION),
                node=node.name,
                mode=layout.SECRET_MODE,
                kind=FileKind.ENCRYPTION_CONFIGURATION,
                secret=True,
            )
        yield from self._authentication(node)
        yield from self._authorization(node)
        yield from self._component(
            node, FileKind.KUBE_APISERVER, FileKind.KUBE_APISERVER_UNIT, FileKind.KUBE_APISERVER_FLAGS
        )
        yield from self._component(
            node,
            FileKind.KUBE_CONTROLLER_MANAGER,
            FileKind.KUBE_CONTROLLER_MANAGER_UNIT,
            FileKind.KUBE_CONTROLLER_MANAGER_FLAGS,
        )
        yield from self._component(
            node, FileKind.KUBE_SCHEDULER, FileKind.KUBE_SCHEDULER_UNIT, FileKind.KUBE_SCHEDULER_FLAGS
        )
        yield from self._certificates(node, self._kubeconfigs, *holders)

    def _authentication(self, node: Node) -> Iterator[DesiredFile]:
        """Whom an API server lets in beside certificates, where the spec says it."""
        if authentication.is_configured(self._cluster):
            path = authentication.configuration_path(self._cluster)
            yield DesiredFile(
                path=layout.node_path(node.name, path),
                node=node.name,
                mode=layout.SECRET_MODE,
                kind=FileKind.AUTHENTICATION_CONFIGURATION,
                trust=CA.KUBERNETES if authentication.trusts_cluster_ca(self._cluster) else None,
            )

    def _authorization(self, node: Node) -> Iterator[DesiredFile]:
        """What an API server authorizes by; the kubeconfig first, without which it refuses the other file."""
        if authorization.is_structured(self._cluster):
            managed = authorization.is_managed(self._cluster)
            for path, kind in (
                (authorization.webhook_path(self._cluster), FileKind.AUTHORIZATION_WEBHOOK),
                (authorization.configuration_path(self._cluster), FileKind.AUTHORIZATION_CONFIGURATION),
            ):
                yield _file(node, path, kind, managed=managed)

    def _authority_copies(self, node: Node) -> Iterator[DesiredCopy]:
        """The CAs' certificates, their keys if the spec wants them on nodes, and the service account keys."""
        keys = self._cluster.ca_keys_on_nodes
        if KubeadmCA.KUBERNETES in keys:
            yield self._copy(
                node, layout.SIGNING_CERTIFICATE, MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES
            )
            yield self._copy(node, "ca.key", MaterialKind.CA_KEY, CA.KUBERNETES)
        yield self._copy(node, "front-proxy-ca.crt", MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY)
        if KubeadmCA.FRONT_PROXY in keys:
            yield self._copy(node, "front-proxy-ca.key", MaterialKind.CA_KEY, CA.FRONT_PROXY)
        if KubeadmCA.ETCD in keys and node.name in self._members:
            yield self._copy(node, "etcd/ca.key", MaterialKind.CA_KEY, CA.ETCD)
        yield self._copy(node, layout.SA_PRIVATE_KEY, MaterialKind.SA_PRIVATE_KEY)
        for name, slot in accepted_sa_keys(self._rotations):
            yield self._copy(node, name, MaterialKind.SA_PUBLIC_KEY, slot=slot)

    def _copy(
        self,
        node: Node,
        name: str,
        material: MaterialKind,
        ca: CA | None = None,
        slot: Slot = Slot.CURRENT,
    ) -> DesiredCopy:
        """A file of the authority on a node; keys are for root alone."""
        secret = material in {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}
        return DesiredCopy(
            path=pki_path(self._cluster, node.name, name),
            node=node.name,
            mode=layout.KEY_MODE if secret else layout.CERTIFICATE_MODE,
            material=material,
            ca=ca,
            slot=slot,
        )

    # -- what components run by -----------------------------------------------------------------------

    def _component(
        self, node: Node, manifest: FileKind, unit: FileKind, flags: FileKind
    ) -> Iterator[DesiredFile]:
        """What a component runs by: a unit and its flags, or a static Pod's manifest."""
        managed = self._manages_manifests
        if self._spec.runtime is Runtime.SYSTEMD:
            yield _unit(node, unit, managed=managed)
            yield _flags(node, flags, managed=managed)
        else:
            path = f"{layout.MANIFESTS_DIRECTORY}/{manifest}.yaml"
            yield _file(node, path, manifest, mode=layout.MANIFEST_MODE, managed=managed)

    def _kubelet_files(self, node: Node) -> Iterator[DesiredFile]:
        """A kubelet's configuration and flags; its unit is ours only where systemd runs the control plane."""
        managed = self._manages_kubelet
        configuration = f"{layout.KUBELET_DIRECTORY}/config.yaml"
        yield _file(node, configuration, FileKind.KUBELET_CONFIGURATION, managed=managed)
        if self._spec.runtime is Runtime.SYSTEMD:
            yield _unit(node, FileKind.KUBELET_UNIT, managed=managed)
            yield _flags(node, FileKind.KUBELET_FLAGS, managed=managed)
        else:
            # The kubelet package's own unit reads this file (kubeadm-flags.env).
            flags = f"{layout.KUBELET_DIRECTORY}/kubeadm-flags.env"
            yield _file(node, flags, FileKind.KUBELET_FLAGS, managed=managed)

    def _kube_proxy_files(self, node: Node) -> Iterator[DesiredFile]:
        """kube-proxy as a unit of the node's."""
        managed = self._manages_manifests
        configuration = f"{layout.KUBE_PROXY_DIRECTORY}/config.yaml"
        yield _file(node, configuration, FileKind.KUBE_PROXY_CONFIGURATION, managed=managed)
        yield _unit(node, FileKind.KUBE_PROXY_UNIT, managed=managed)
        yield _flags(node, FileKind.KUBE_PROXY_FLAGS, managed=managed)


def _unit(node: Node, kind: FileKind, *, managed: bool) -> DesiredFile:
    return _file(node, f"{layout.SYSTEMD_DIRECTORY}/{kind}", kind, managed=managed)


def _flags(node: Node, kind: FileKind, *, managed: bool) -> DesiredFile:
    path = f"{layout.FLAGS_DIRECTORY}/{kind.removesuffix('.flags')}.env"
    return _file(node, path, kind, managed=managed)


def _file(
    node: Node, path: str, kind: FileKind, *, managed: bool, mode: int = layout.PUBLIC_MODE
) -> DesiredFile:
    return DesiredFile(
        path=layout.node_path(node.name, path), node=node.name, mode=mode, kind=kind, managed=managed
    )
