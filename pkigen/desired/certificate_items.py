"""From a row of the table of certificates to the certificates of one cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import PROXY, USER, KubeconfigTo, PairAt, Server
from pkigen.desired.expiry_spread import given_up
from pkigen.desired.generations import (
    CA,
    CertificateFile,
    InKubeconfig,
    KeyPairFiles,
    ca_location,
    pair_at,
)
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKubeconfig,
    FileKind,
    MaterialKind,
)
from pkigen.records import dataclass
from pkigen.spec.certificates import Authority, CAKeys, Override
from pkigen.spec.model import Role
from pkigen.spec.values import parse_dns_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from pkigen.crypto.algorithms import KeyAlgorithm
    from pkigen.desired.certificates import CertificateKind
    from pkigen.desired.generations import Location, Slot
    from pkigen.desired.items import Desired
    from pkigen.spec.authentication import AuthenticatingProxy
    from pkigen.spec.model import ClusterSpec, Node
    from pkigen.spec.users import User


def pki_path(cluster: ClusterSpec, node: str, name: str) -> str:
    """Where a file of a node's directory of certificates stands in the PKI directory."""
    return layout.node_path(node, f"{cluster.spec.certificates.directory}/{name}")


def ca_name(kind: CertificateKind, cluster: ClusterSpec) -> str:
    """What a CA is called in its first generation."""
    own = cluster.spec.certificates.overrides.get(kind.name, Override())
    return own.common_name or kind.common_name


def subject_on(kind: CertificateKind, cluster: ClusterSpec, node: str) -> Subject:
    """Who a leaf says that its holder is."""
    usual, own = kind.subject(node), cluster.spec.certificates.overrides.get(kind.name, Override())
    return Subject(
        common_name=own.user or usual.common_name,
        organizations=usual.organizations if own.groups is None else own.groups,
    )


def ca_sans(common_name: str) -> SANs:
    """A CA's name as a DNS name too, as kubeadm gives it (`pki_helpers.go` NewSelfSignedCACert)."""
    try:
        return SANs.of(parse_dns_name(common_name))
    except ValueError:
        return SANs()  # a name of somebody's own may be none


def ca_certificate(
    kind: CertificateKind, cluster: ClusterSpec, slot: Slot, *, common_name: str
) -> DesiredCertificate:
    """One generation of a CA; those that a rotation makes have a common name of their own."""
    settings = cluster.spec.certificates
    terms = _terms(kind, cluster, settings.ca_validity, kind.name)
    pair = ca_location(CA.of_id(kind.name), slot)
    # An offline authority that lets the site keep CA keys signs them as intermediates below its root.
    is_intermediate = settings.authority is Authority.OFFLINE and settings.ca_keys is CAKeys.SITE
    return DesiredCertificate(
        kind=kind,
        id=f"{kind.name}{slot}",
        node=None,
        issuer=None,
        subject=Subject(common_name=common_name),
        sans=ca_sans(common_name),
        profile=Profile.INTERMEDIATE if is_intermediate else kind.profile,
        validity=terms.validity,
        renew_before=terms.renew_before,
        key_algorithm=terms.key_algorithm,
        location=CertificateFile(certificate=pair.certificate)
        if settings.ca_keys is CAKeys.OFFLINE
        else pair,
    )


def node_certificate(kind: CertificateKind, cluster: ClusterSpec, node: Node) -> Iterator[Desired]:
    """A node's certificate of one kind, with the kubeconfig that it stands in or that names its file."""
    if not isinstance(kind.place, KubeconfigTo):
        yield _node_certificate(kind, cluster, node, _pair(kind.place, cluster, node))
        return
    embedded = InKubeconfig(kubeconfig=kubeconfig_path(kind, node))
    named = named_files(kind, cluster)
    pair = KeyPairFiles(
        certificate=layout.node_path(node.name, named.pair.certificate),
        key=layout.node_path(node.name, named.pair.key),
    )
    if kind.is_by_path(cluster):
        # A component's kubeconfig has one reader: the rows of the table see to that.
        (reader,) = kind.readers
        yield DesiredCopy(
            path=layout.node_path(node.name, named.trust),
            node=node.name,
            mode=layout.CERTIFICATE_MODE,
            material=MaterialKind.TRUST_BUNDLE,
            ca=CA.KUBERNETES,
            reader=reader.component,
        )
        yield _node_certificate(kind, cluster, node, pair, former=embedded)
        yield DesiredFile(
            path=embedded.kubeconfig,
            node=node.name,
            mode=layout.KUBECONFIG_MODE,
            kind=FileKind(kind.name),
        )
        return
    identifier = kind.id_on(node.name)
    yield DesiredKubeconfig(
        id=identifier,
        path=embedded.kubeconfig,
        node=node.name,
        server=server_of(kind, cluster, node),
        cluster=cluster.name,
        user=subject_on(kind, cluster, node.name).common_name,
        trust=CA.KUBERNETES,
        certificate=identifier,
    )
    # What no component reads, such as an administrator's, never stood in files of its own.
    yield _node_certificate(kind, cluster, node, embedded, former=pair if kind.readers else None)


def _node_certificate(
    kind: CertificateKind,
    cluster: ClusterSpec,
    node: Node,
    location: Location,
    *,
    former: Location | None = None,
) -> DesiredCertificate:
    """The certificate itself."""
    terms = _terms(kind, cluster, cluster.spec.certificates.validity, kind.id_on(node.name))
    return DesiredCertificate(
        kind=kind,
        id=kind.id_on(node.name),
        node=node.name,
        issuer=kind.issuer,
        subject=subject_on(kind, cluster, node.name),
        sans=kind.sans(cluster, node),
        profile=kind.profile,
        validity=terms.validity,
        renew_before=terms.renew_before,
        key_algorithm=terms.key_algorithm,
        location=location,
        former=former,
        # By node, not by kind: a node makes all of its keys itself, or none.
        key_home=cluster.key_home(node),
    )


def user_certificate(cluster: ClusterSpec, user: User) -> Iterator[DesiredKubeconfig | DesiredCertificate]:
    """A person's kubeconfig, and the certificate in it."""
    identifier, path = f"user:{user.name}", layout.user_path(user.stem)
    yield DesiredKubeconfig(
        id=identifier,
        path=path,
        node=None,
        server=cluster.cluster_server,
        cluster=cluster.name,
        user=user.name,
        trust=CA.KUBERNETES,
        certificate=identifier,
        namespace=user.namespace,
    )
    terms = _terms(USER, cluster, user.validity, identifier)
    yield DesiredCertificate(
        kind=USER,
        id=identifier,
        node=None,
        issuer=USER.issuer,
        # Sorted and without repeats: the order of the groups means nothing to RBAC, and must not reissue.
        subject=Subject(common_name=user.name, organizations=tuple(sorted(set(user.groups)))),
        sans=SANs(),
        profile=USER.profile,
        validity=terms.validity,
        renew_before=terms.renew_before,
        key_algorithm=terms.key_algorithm,
        location=InKubeconfig(kubeconfig=path),
    )


def proxy_certificate(
    cluster: ClusterSpec, proxy: AuthenticatingProxy
) -> Iterator[DesiredKubeconfig | DesiredCertificate]:
    """The kubeconfig of an authenticating proxy: the CA of API servers, and the certificate that it shows."""
    identifier, path = f"proxy:{proxy.name}", layout.user_path(proxy.stem)
    yield DesiredKubeconfig(
        id=identifier,
        path=path,
        node=None,
        server=cluster.cluster_server,
        cluster=cluster.name,
        user=proxy.name,
        trust=CA.KUBERNETES,
        certificate=identifier,
    )
    terms = _terms(PROXY, cluster, proxy.validity, identifier)
    yield DesiredCertificate(
        kind=PROXY,
        id=identifier,
        node=None,
        issuer=PROXY.issuer,
        subject=Subject(common_name=proxy.name),
        sans=SANs(),
        profile=PROXY.profile,
        validity=terms.validity,
        renew_before=terms.renew_before,
        key_algorithm=terms.key_algorithm,
        location=InKubeconfig(kubeconfig=path),
    )


def _pair(place: PairAt, cluster: ClusterSpec, node: Node) -> KeyPairFiles:
    """The files of a node's certificate: in the spec's directory, or in one of its own."""
    if place.directory is None:
        return pair_at(pki_path(cluster, node.name, place.stem))
    return pair_at(layout.node_path(node.name, f"{place.directory}/{place.stem}"))


def kubeconfig_path(kind: CertificateKind, node: Node) -> str:
    """Where the kubeconfig of a node's component, or of its people, stands in the PKI directory."""
    return layout.node_path(node.name, f"{layout.KUBERNETES_DIRECTORY}/{kind.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFiles:
    """The files that a component's kubeconfig names."""

    trust: str
    pair: KeyPairFiles


def named_files(kind: CertificateKind, cluster: ClusterSpec) -> NamedFiles:
    """What the kubeconfig of a kind names where it embeds nothing, as its node knows it."""
    directory = layout.credentials_directory(cluster.spec.certificates.directory, kind.name)
    return NamedFiles(trust=f"{directory}/ca.crt", pair=pair_at(f"{directory}/client"))


def trust_of(item: DesiredCertificate) -> str:
    """The CA file by which the user of a kubeconfig's client certificate verifies servers."""
    if isinstance(item.location, KeyPairFiles):
        return f"{item.file.rpartition('/')[0]}/ca.crt"
    return item.file


def server_of(kind: CertificateKind, cluster: ClusterSpec, node: Node) -> str:
    """The URL of the API server that a kubeconfig names."""
    is_nearest = isinstance(kind.place, KubeconfigTo) and kind.place.server is Server.NEAREST
    if is_nearest and node.has(Role.CONTROL_PLANE):
        return cluster.local_server(node)
    return cluster.cluster_server


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """How long a certificate is valid, when it is renewed, and what its key is."""

    validity: timedelta
    renew_before: timedelta
    key_algorithm: KeyAlgorithm


def _terms(kind: CertificateKind, cluster: ClusterSpec, validity: timedelta, identifier: str) -> _Terms:
    """The most particular setting counts: that of the kind, else the one that is given, else the default.

    Every generation of a CA has the same identifier here.
    """
    settings = cluster.spec.certificates
    own = settings.overrides.get(kind.name, Override())
    lifetime = own.validity or validity
    renew_before = own.renew_before or settings.renew_before
    # A short-lived certificate would otherwise be due from its first hour on.
    window = min(renew_before, lifetime / 3)
    lifetime -= given_up(
        lifetime,
        renew_before=window,
        percent=settings.expiry_spread,
        cluster=cluster.name,
        certificate=identifier,
    )
    return _Terms(
        validity=lifetime,
        # Once more, of what is left of it.
        renew_before=min(renew_before, lifetime / 3),
        key_algorithm=own.key_algorithm or settings.key_algorithm,
    )
