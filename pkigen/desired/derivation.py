"""From a spec to the objects that must exist."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import (
    BUNDLE_KEY,
    BUNDLE_KEY_PATH,
    BUNDLE_KEY_SIZE,
    CA,
    ENCRYPTION_KEY,
    ENCRYPTION_KEY_SIZE,
    SA,
    CertificateFile,
    InKubeconfig,
    Location,
    Rotations,
    Slot,
    _pair,
    accepted_sa_keys,
    ca_id,
    encryption_key_path,
    sa_path,
)
from pkigen.desired.items import (
    Desired,
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    DesiredKubeconfig,
    DesiredSecret,
    DesiredToken,
    FileKind,
    MaterialKind,
)
from pkigen.spec.model import Authority, CAKeys, ClusterSpec, KeyHome, Node, Override, Runtime
from pkigen.spec.values import split_host_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from pkigen.notation import IPAddress
    from pkigen.spec.users import User


SUPER_ADMIN = "super-admin.conf"


CLUSTER_ADMINS = "kubeadm:cluster-admins"


NODES = "system:nodes"


KUBELET_CLIENT_USER = "kube-apiserver-kubelet-client"


FRONT_PROXY_USER = "front-proxy-client"


_LOCALHOST: tuple[IPAddress | str, ...] = ("localhost", IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Derivation:
    """The walk from the spec to the list; kept together because every step needs the spec's defaults."""

    def __init__(self, cluster: ClusterSpec, rotations: Rotations) -> None:
        self._cluster = cluster
        self._rotations = rotations
        self._spec = cluster.spec
        self._settings = cluster.spec.certificates
        self._control_plane = {node.name for node in cluster.control_plane}
        self._members = {node.name for node in cluster.etcd_members}
        self._first = min(self._control_plane, default="")

    # -- the whole ------------------------------------------------------------------------------------

    def items(self) -> Iterator[Desired]:
        """Every object, issuers first."""
        yield from self._authority()
        for node in sorted(self._spec.nodes, key=lambda node: node.name):
            yield from self._node(node)
        for user in sorted(self._spec.users, key=lambda user: user.stem):
            yield from self._service_account(user) if user.is_service_account else self._person(user)
        if any(mapping.cluster_roles or mapping.roles or mapping.rules for mapping in self._spec.iam):
            yield _addon("iam", FileKind.ADDON_IAM)
        yield _addon("cluster-admins", FileKind.ADDON_CLUSTER_ADMINS)
        yield _addon("apiserver-kubelet-client", FileKind.ADDON_KUBELET_CLIENT)
        if self._spec.kubelet.rotate_certificates:
            # Without it the kubelets' requests stay pending, and each keeps its first certificate to its end.
            yield _addon("node-certificate-rotation", FileKind.ADDON_NODE_ROTATION)

    def _authority(self) -> Iterator[Desired]:
        for ca in CA:
            if ca is CA.ETCD and not self._members:
                continue
            for slot in self._rotations.slots(ca_id(ca)):
                name = ca.common_name
                if slot is Slot.NEXT:
                    name = self._rotations.next_names.get(ca_id(ca), name)
                yield self._certificate(
                    f"{ca_id(ca)}{slot}",
                    node=None,
                    issuer=None,
                    subject=Subject(common_name=name),
                    # kubeadm gives a CA its common name as a DNS name (pki_helpers.go NewSelfSignedCACert).
                    sans=SANs.of(name),
                    profile=self._ca_profile(),
                    location=self._ca_location(layout.authority_path(f"{ca}{slot}")),
                    validity=self._settings.ca_validity,
                )
        for slot in self._rotations.slots(SA):
            yield DesiredKeyPair(
                id=f"{SA}{slot}",
                key_algorithm=self._settings.key_algorithm,
                private_path=sa_path(slot, layout.SA_PRIVATE_KEY),
                public_path=sa_path(slot, layout.SA_PUBLIC_KEY),
                slot=slot,
            )
        if self._spec.encryption is not None:
            for slot in self._rotations.slots(ENCRYPTION_KEY):
                yield DesiredSecret(
                    id=f"{ENCRYPTION_KEY}{slot}", path=encryption_key_path(slot), size=ENCRYPTION_KEY_SIZE
                )
        yield DesiredSecret(id=BUNDLE_KEY, path=BUNDLE_KEY_PATH, size=BUNDLE_KEY_SIZE)

    def _ca_profile(self) -> Profile:
        settings = self._settings
        if settings.authority is Authority.OFFLINE and settings.ca_keys is CAKeys.SITE:
            return Profile.INTERMEDIATE
        return Profile.CA

    def _ca_location(self, stem: str) -> Location:
        pair = _pair(stem)
        if self._settings.ca_keys is CAKeys.OFFLINE:
            return CertificateFile(certificate=pair.certificate)
        return pair

    # -- nodes ----------------------------------------------------------------------------------------

    def _node(self, node: Node) -> Iterator[Desired]:
        control_plane, member = node.name in self._control_plane, node.name in self._members
        yield self._copy(node, "ca.crt", MaterialKind.TRUST_BUNDLE, CA.KUBERNETES)
        if member or (control_plane and self._members):
            yield self._copy(node, "etcd/ca.crt", MaterialKind.TRUST_BUNDLE, CA.ETCD)
        if member:
            yield from self._etcd_member(node)
        if control_plane:
            yield from self._control_plane_node(node)
        yield from self._kubelet(node)
        if self._spec.runtime is Runtime.SYSTEMD:
            yield from self._kube_proxy(node)

    def _etcd_member(self, node: Node) -> Iterator[Desired]:
        etcd = self._spec.etcd
        common = (node.name, *node.addresses, *sorted(node.cert_sans), *_LOCALHOST)
        for name, path, own in (
            ("etcd-server", "etcd/server", etcd.server_cert_sans),
            ("etcd-peer", "etcd/peer", etcd.peer_cert_sans),
        ):
            yield self._leaf(
                node,
                name,
                path,
                CA.ETCD,
                Subject(common_name=node.name),
                Profile.PEER,
                SANs.of(*common, *sorted(own)),
            )
        yield self._leaf(
            node,
            "etcd-healthcheck-client",
            "etcd/healthcheck-client",
            CA.ETCD,
            Subject(common_name="kube-etcd-healthcheck-client"),
        )
        yield from self._component(node, FileKind.ETCD, FileKind.ETCD_UNIT, FileKind.ETCD_FLAGS)

    def _control_plane_node(self, node: Node) -> Iterator[Desired]:
        keys = self._cluster.ca_keys_on_nodes
        if keys:
            yield self._copy(
                node, layout.SIGNING_CERTIFICATE, MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES
            )
            yield self._copy(node, "ca.key", MaterialKind.CA_KEY, CA.KUBERNETES)
        yield self._copy(node, "front-proxy-ca.crt", MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY)
        if keys:
            yield self._copy(node, "front-proxy-ca.key", MaterialKind.CA_KEY, CA.FRONT_PROXY)
        if keys and node.name in self._members:
            yield self._copy(node, "etcd/ca.key", MaterialKind.CA_KEY, CA.ETCD)
        yield self._copy(node, layout.SA_PRIVATE_KEY, MaterialKind.SA_PRIVATE_KEY)
        for name, slot in accepted_sa_keys(self._rotations):
            yield self._copy(node, name, MaterialKind.SA_PUBLIC_KEY, slot=slot)
        yield self._leaf(
            node,
            "apiserver",
            "apiserver",
            CA.KUBERNETES,
            Subject(common_name="kube-apiserver"),
            Profile.SERVER,
            self._api_server_sans(node),
        )
        yield self._leaf(
            node,
            "apiserver-kubelet-client",
            "apiserver-kubelet-client",
            CA.KUBERNETES,
            # No group: access comes from a binding for this user (kubeadm 1.36.1, #138958).
            Subject(common_name=KUBELET_CLIENT_USER),
        )
        yield self._leaf(
            node,
            "front-proxy-client",
            "front-proxy-client",
            CA.FRONT_PROXY,
            Subject(common_name=FRONT_PROXY_USER),
        )
        if self._members:
            yield self._leaf(
                node,
                "apiserver-etcd-client",
                "apiserver-etcd-client",
                CA.ETCD,
                Subject(common_name="kube-apiserver-etcd-client"),
            )
        if self._spec.encryption is not None:
            yield DesiredFile(
                path=self._on(node, layout.ENCRYPTION_CONFIGURATION),
                node=node.name,
                mode=layout.SECRET_MODE,
                kind=FileKind.ENCRYPTION_CONFIGURATION,
                secret=True,
            )
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
        local, shared = self._cluster.local_server(node), self._cluster.cluster_server
        yield from self._kubeconfig(
            node,
            "admin.conf",
            shared,
            "kubernetes-admin",
            Subject(common_name="kubernetes-admin", organizations=(CLUSTER_ADMINS,)),
        )
        if node.name == self._first:
            # The break-glass identity, which RBAC cannot revoke, exists once, as kubeadm's `init` writes it.
            yield from self._kubeconfig(
                node,
                SUPER_ADMIN,
                shared,
                "kubernetes-super-admin",
                Subject(common_name="kubernetes-super-admin", organizations=("system:masters",)),
            )
        for name, user in (
            ("controller-manager.conf", "system:kube-controller-manager"),
            ("scheduler.conf", "system:kube-scheduler"),
        ):
            yield from self._kubeconfig(node, name, local, user, Subject(common_name=user))

    def _api_server_sans(self, node: Node) -> SANs:
        domain = self._spec.networking.dns_domain
        endpoint: tuple[IPAddress | str, ...] = ()
        if self._spec.control_plane_endpoint is not None:
            endpoint = (split_host_port(self._spec.control_plane_endpoint)[0],)
        return SANs.of(
            node.name,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{domain}",
            *(subnet[1] for subnet in self._spec.networking.service_subnets),
            *node.addresses,
            *endpoint,
            *sorted(self._spec.api_server.cert_sans),
            *sorted(node.cert_sans),
        )

    def _kubelet(self, node: Node) -> Iterator[Desired]:
        user = f"system:node:{node.name}"
        subject = Subject(common_name=user, organizations=(NODES,))
        yield self._certificate(
            f"{node.name}/kubelet-serving",
            node=node,
            issuer=CA.KUBERNETES,
            # The form that the kubelet-serving signer demands (pkg/apis/certificates/helpers.go).
            subject=subject,
            sans=SANs.of(node.name, *node.kubelet_addresses, *sorted(node.cert_sans)),
            profile=Profile.SERVER,
            location=_pair(layout.node_path(node.name, f"{layout.KUBELET_PKI_DIRECTORY}/kubelet")),
        )
        server = (
            self._cluster.local_server(node)
            if node.name in self._control_plane
            else self._cluster.cluster_server
        )
        yield from self._kubeconfig(node, "kubelet.conf", server, user, subject)
        yield DesiredFile(
            path=layout.node_path(node.name, f"{layout.KUBELET_DIRECTORY}/config.yaml"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.KUBELET_CONFIGURATION,
        )
        if self._spec.runtime is Runtime.SYSTEMD:
            yield self._unit(node, FileKind.KUBELET_UNIT)
            yield self._flags(node, FileKind.KUBELET_FLAGS)
        else:
            # The kubelet package's own unit reads this file (kubeadm-flags.env).
            yield DesiredFile(
                path=layout.node_path(node.name, f"{layout.KUBELET_DIRECTORY}/kubeadm-flags.env"),
                node=node.name,
                mode=layout.PUBLIC_MODE,
                kind=FileKind.KUBELET_FLAGS,
            )

    def _kube_proxy(self, node: Node) -> Iterator[Desired]:
        user = "system:kube-proxy"
        yield from self._kubeconfig(
            node, "kube-proxy.conf", self._cluster.cluster_server, user, Subject(common_name=user)
        )
        yield DesiredFile(
            path=layout.node_path(node.name, f"{layout.KUBE_PROXY_DIRECTORY}/config.yaml"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.KUBE_PROXY_CONFIGURATION,
        )
        yield self._unit(node, FileKind.KUBE_PROXY_UNIT)
        yield self._flags(node, FileKind.KUBE_PROXY_FLAGS)

    # -- people ---------------------------------------------------------------------------------------

    def _person(self, user: User) -> Iterator[Desired]:
        identifier = f"user:{user.name}"
        path = layout.user_path(user.name)
        yield DesiredKubeconfig(
            id=identifier,
            path=path,
            node=None,
            server=self._cluster.cluster_server,
            cluster=self._cluster.name,
            user=user.name,
            trust=CA.KUBERNETES,
            certificate=identifier,
            namespace=user.namespace,
        )
        yield self._certificate(
            identifier,
            node=None,
            issuer=CA.KUBERNETES,
            subject=Subject(common_name=user.name, organizations=tuple(sorted(set(user.groups)))),
            sans=SANs(),
            profile=Profile.CLIENT,
            location=InKubeconfig(kubeconfig=path),
            validity=user.validity,
        )
        if user.cluster_roles or user.roles or user.rules:
            yield self._access(user)

    def _service_account(self, user: User) -> Iterator[Desired]:
        if user.uid is not None and user.namespace is not None:
            yield DesiredToken(
                id=f"serviceaccount:{user.namespace}:{user.name}",
                path=layout.user_path(user.stem),
                server=self._cluster.cluster_server,
                cluster=self._cluster.name,
                trust=CA.KUBERNETES,
                namespace=user.namespace,
                account=user.name,
                uid=user.uid,
                issuer=self._cluster.token_issuer,
                audiences=user.audiences or self._cluster.api_audiences,
                validity=user.validity,
                renew_before=min(self._settings.renew_before, user.validity / 3),
            )
        yield self._access(user)

    @staticmethod
    def _access(user: User) -> DesiredFile:
        return DesiredFile(
            path=layout.addon_path(f"user-{user.stem}"),
            node=None,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.ADDON_USER,
            user=user.stem,
        )

    # -- pieces ---------------------------------------------------------------------------------------

    def _on(self, node: Node, name: str) -> str:
        return layout.node_path(node.name, f"{self._settings.directory}/{name}")

    def _copy(
        self,
        node: Node,
        name: str,
        material: MaterialKind,
        ca: CA | None = None,
        slot: Slot = Slot.CURRENT,
    ) -> DesiredCopy:
        secret = material in {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}
        return DesiredCopy(
            path=self._on(node, name),
            node=node.name,
            mode=layout.KEY_MODE if secret else layout.CERTIFICATE_MODE,
            material=material,
            ca=ca,
            slot=slot,
        )

    def _leaf(
        self,
        node: Node,
        name: str,
        path: str,
        issuer: CA,
        subject: Subject,
        profile: Profile = Profile.CLIENT,
        sans: SANs | None = None,
    ) -> DesiredCertificate:
        return self._certificate(
            f"{node.name}/{name}",
            node=node,
            issuer=issuer,
            subject=subject,
            sans=sans or SANs(),
            profile=profile,
            location=_pair(self._on(node, path)),
        )

    def _kubeconfig(
        self, node: Node, name: str, server: str, user: str, subject: Subject
    ) -> Iterator[Desired]:
        path = layout.node_path(node.name, f"{layout.KUBERNETES_DIRECTORY}/{name}")
        identifier = f"{node.name}/{name}"
        yield DesiredKubeconfig(
            id=identifier,
            path=path,
            node=node.name,
            server=server,
            cluster=self._cluster.name,
            user=user,
            trust=CA.KUBERNETES,
            certificate=identifier,
        )
        yield self._certificate(
            identifier,
            node=node,
            issuer=CA.KUBERNETES,
            subject=subject,
            sans=SANs(),
            profile=Profile.CLIENT,
            location=InKubeconfig(kubeconfig=path),
        )

    def _certificate(
        self,
        identifier: str,
        *,
        node: Node | None,
        issuer: CA | None,
        subject: Subject,
        sans: SANs,
        profile: Profile,
        location: Location,
        validity: timedelta | None = None,
    ) -> DesiredCertificate:
        name = identifier.rpartition("/")[2]
        kind = name.removesuffix(Slot.NEXT).removesuffix(Slot.PREVIOUS) if issuer is None else name
        own = self._settings.overrides.get(kind, Override())
        lifetime = own.validity or validity or self._settings.validity
        return DesiredCertificate(
            id=identifier,
            name=name,
            node=node.name if node else None,
            issuer=issuer,
            subject=subject,
            sans=sans,
            profile=profile,
            validity=lifetime,
            # A short-lived certificate would otherwise be due from its first hour on.
            renew_before=min(own.renew_before or self._settings.renew_before, lifetime / 3),
            key_algorithm=own.key_algorithm or self._settings.key_algorithm,
            location=location,
            key_home=self._cluster.key_home(node) if node else KeyHome.AUTHORITY,
        )

    def _component(
        self, node: Node, manifest: FileKind, unit: FileKind, flags: FileKind
    ) -> Iterator[DesiredFile]:
        if self._spec.runtime is Runtime.SYSTEMD:
            yield self._unit(node, unit)
            yield self._flags(node, flags)
        else:
            yield DesiredFile(
                path=layout.node_path(node.name, f"{layout.MANIFESTS_DIRECTORY}/{manifest}.yaml"),
                node=node.name,
                mode=layout.MANIFEST_MODE,
                kind=manifest,
            )

    @staticmethod
    def _unit(node: Node, kind: FileKind) -> DesiredFile:
        return DesiredFile(
            path=layout.node_path(node.name, f"{layout.SYSTEMD_DIRECTORY}/{kind}"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=kind,
        )

    @staticmethod
    def _flags(node: Node, kind: FileKind) -> DesiredFile:
        return DesiredFile(
            path=layout.node_path(node.name, f"{layout.FLAGS_DIRECTORY}/{kind.removesuffix('.flags')}.env"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=kind,
        )


def _addon(name: str, kind: FileKind) -> DesiredFile:
    return DesiredFile(path=layout.addon_path(name), node=None, mode=layout.PUBLIC_MODE, kind=kind)
