"""From a spec to the objects that must exist, issuers first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired import certificates
from pkigen.desired.certificate_items import ca_certificate, ca_name, proxy_certificate, user_certificate
from pkigen.desired.certificates import Holder
from pkigen.desired.generations import (
    BUNDLE_KEY,
    BUNDLE_KEY_PATH,
    BUNDLE_KEY_SIZE,
    CA,
    ENCRYPTION_KEY,
    ENCRYPTION_KEY_SIZE,
    SA,
    Phase,
    Slot,
    ca_id,
    cross_path,
    encryption_key_path,
    sa_path,
)
from pkigen.desired.items import (
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
    DesiredToken,
    FileKind,
)
from pkigen.desired.node_items import NodeItems
from pkigen.spec.model import ManagedFiles
from pkigen.spec.users import gives_rights
from pkigen.spec.versions import CLUSTER_TRUST_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.certificates import CertificateKind
    from pkigen.desired.generations import Rotations
    from pkigen.desired.inventory import TokenTrust
    from pkigen.desired.items import Desired
    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.users import User


def derived_items(cluster: ClusterSpec, rotations: Rotations, trust: TokenTrust) -> Iterator[Desired]:
    """Every object that must exist: of the authority, of nodes by name, of users by name, and the addons."""
    yield from _authority(cluster, rotations)
    node_items = NodeItems(cluster, rotations)
    for node in sorted(cluster.spec.nodes, key=lambda node: node.name):
        yield from node_items.of(node)
    for user in sorted(cluster.spec.users, key=lambda user: user.stem):
        if user.is_service_account:
            yield from _service_account(cluster, user, trust)
        else:
            yield from _person(cluster, user)
    for proxy in cluster.proxies:
        yield from proxy_certificate(cluster, proxy)
    yield from _logins(cluster)
    yield from _addons(cluster)


def _logins(cluster: ClusterSpec) -> Iterator[DesiredFile]:
    """A kubeconfig for the people of each issuer that wants one."""
    for each in cluster.token_issuers:
        if each.kubeconfig is not None:
            yield DesiredFile(
                path=layout.user_path(each.kubeconfig_stem),
                node=None,
                mode=layout.KUBECONFIG_MODE,
                kind=FileKind.LOGIN_KUBECONFIG,
                user=each.kubeconfig_stem,
                trust=CA.KUBERNETES,
            )


def _ca(kind: CertificateKind, cluster: ClusterSpec, rotations: Rotations) -> Iterator[Desired]:
    """Every generation of a CA, and what ties two of them together."""
    for slot in rotations.slots(kind.name):
        name = ca_name(kind, cluster)
        # The others keep the name that their certificate has; a new generation gets one of its own.
        if slot is Slot.NEXT and kind.name in rotations.next_generations:
            name = f"{name}-g{rotations.next_generations[kind.name]}"
        yield ca_certificate(kind, cluster, slot, common_name=name)
    if kind.name in rotations.crossed:
        yield _cross_certificate(CA.of_id(kind.name), rotations)


def _authority(cluster: ClusterSpec, rotations: Rotations) -> Iterator[Desired]:
    """CAs, service account key, encryption key and bundle key, each in all its generations."""
    for kind in certificates.CERTIFICATES:
        if kind.holder is Holder.AUTHORITY and kind.absence(cluster) is None:
            yield from _ca(kind, cluster, rotations)
    for slot in rotations.slots(SA):
        yield DesiredKeyPair(
            id=f"{SA}{slot}",
            key_algorithm=cluster.spec.certificates.key_algorithm,
            private_path=sa_path(slot, layout.SA_PRIVATE_KEY),
            public_path=sa_path(slot, layout.SA_PUBLIC_KEY),
            slot=slot,
        )
    if cluster.spec.encryption is not None:
        for slot in rotations.slots(ENCRYPTION_KEY):
            yield DesiredSecret(
                id=f"{ENCRYPTION_KEY}{slot}", path=encryption_key_path(slot), size=ENCRYPTION_KEY_SIZE
            )
    yield DesiredSecret(id=BUNDLE_KEY, path=BUNDLE_KEY_PATH, size=BUNDLE_KEY_SIZE)


def _cross_certificate(ca: CA, rotations: Rotations) -> DesiredCrossCertificate:
    """The certificate of the new generation by the old one, whichever of them signs leaves now."""
    old, new = (
        (Slot.CURRENT, Slot.NEXT)
        if rotations.phase(ca_id(ca)) is Phase.PREPARED
        else (Slot.PREVIOUS, Slot.CURRENT)
    )
    return DesiredCrossCertificate(
        id=f"{ca_id(ca)}-cross", ca=ca, path=cross_path(ca), issuer=old, subject=new
    )


def _person(cluster: ClusterSpec, user: User) -> Iterator[Desired]:
    """A user's kubeconfig with its certificate, and the RBAC objects where the spec gives rights."""
    if not user.keeps_key:
        yield from user_certificate(cluster, user)
    yield from _rights(user)


def _service_account(cluster: ClusterSpec, user: User, trust: TokenTrust) -> Iterator[Desired]:
    """A token where the live object's uid is known, without which none can be signed; always its objects."""
    if user.uid is not None and user.namespace is not None:
        yield DesiredToken(
            id=f"serviceaccount:{user.namespace}:{user.name}",
            path=layout.user_path(user.stem),
            server=cluster.cluster_server,
            cluster=cluster.name,
            trust=CA.KUBERNETES,
            namespace=user.namespace,
            account=user.name,
            uid=user.uid,
            issuer=trust.issuer,
            audiences=user.audiences or trust.audiences,
            validity=user.validity,
            longest=cluster.spec.service_accounts.max_token_lifetime,
            # As for certificates: a short-lived token would otherwise be due from its first hour on.
            renew_before=min(cluster.spec.certificates.renew_before, user.validity / 3),
        )
    yield from _rights(user)


def addon_files(cluster: ClusterSpec) -> Iterator[DesiredFile]:
    """Every file of the addons, those of users too."""
    for user in cluster.spec.users:
        yield from _rights(user)
    yield from _addons(cluster)


def _rights(user: User) -> Iterator[DesiredFile]:
    """The RBAC objects of one user, if there are any, and a service account's own."""
    if user.is_service_account or gives_rights(user):
        yield _addon(f"user-{user.stem}", FileKind.ADDON_USER, user=user.stem)


def _addons(cluster: ClusterSpec) -> Iterator[DesiredFile]:
    """The RBAC objects without which what pkigen issues would get in, and could do nothing."""
    for group in sorted(cluster.groups, key=lambda group: group.stem):
        yield _addon(f"group-{group.stem}", FileKind.ADDON_GROUP, group=group.stem)
    # A mapping may give groups only, whose rights stand elsewhere: then there is nothing to bind.
    if any(map(gives_rights, cluster.spec.iam)):
        yield _addon("iam", FileKind.ADDON_IAM)
    # Listed although they may be somebody else's: who stops managing them keeps what is there.
    managed = cluster.manages(ManagedFiles.ADDONS)
    yield _addon("cluster-admins", FileKind.ADDON_CLUSTER_ADMINS, managed=managed)
    yield _addon("apiserver-kubelet-client", FileKind.ADDON_KUBELET_CLIENT, managed=managed)
    if cluster.spec.kubelet.rotate_certificates:
        # Without it the kubelets' requests stay pending, and each keeps its first certificate to its end.
        yield _addon("node-certificate-rotation", FileKind.ADDON_NODE_ROTATION, managed=managed)
    if CLUSTER_TRUST_BUNDLE.holds(cluster.spec.kubernetes_version):
        yield _addon(
            "cluster-trust-bundle", FileKind.ADDON_TRUST_BUNDLE, trust=CA.KUBERNETES, managed=managed
        )


def _addon(
    name: str,
    kind: FileKind,
    *,
    user: str | None = None,
    group: str | None = None,
    trust: CA | None = None,
    managed: bool = True,
) -> DesiredFile:
    """A file of the addons, which holds nothing secret."""
    return DesiredFile(
        path=layout.addon_path(name),
        node=None,
        mode=layout.PUBLIC_MODE,
        kind=kind,
        user=user,
        group=group,
        trust=trust,
        managed=managed,
    )
