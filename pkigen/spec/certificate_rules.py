"""Rules about lifetimes, and about the names of certificates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from pkigen import layout
from pkigen.notation import format_duration
from pkigen.spec.certificates import Authority, CAKeys, KeyHome, KubeadmCA, Kubeconfigs
from pkigen.spec.findings import EVERY, EXTERNAL_ETCD, NODES, ROLES, Location, SpecFinding, no_effect, warning
from pkigen.spec.model import FRONT_PROXY_CLIENT, ManagedFiles, Runtime
from pkigen.spec.translation import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import timedelta

    from pkigen.spec.model import ClusterSpec


class OverridableKind(Protocol):
    """What these rules must know of a kind of certificate; the rows of `desired.certificates` say it."""

    @property
    def name(self) -> str:
        """What `overrides` call it."""

    @property
    def common_name(self) -> str:
        """The common name of its certificates, unless `overrides` say otherwise."""

    @property
    def issuer_name(self) -> str | None:
        """The CA that signs it; None for a CA."""

    def absence(self, cluster: ClusterSpec, /) -> str | None:
        """Why a cluster has none of it."""


_MOST_OCTETS: Final = 20_000  # two such lists may be in one certificate, of which pkigen reads 48 KiB
# An upper bound of the DER around a name: SET, SEQUENCE and string with their lengths, and the type's OID.
_NAME_HEADER: Final = 13
_CERTIFICATES: Final[Location] = ("spec", "certificates")
_OVERRIDES: Final[Location] = (*_CERTIFICATES, "overrides")


def _override_names(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """Every name in `overrides` is that of a kind of certificate that this cluster has."""
    known = {kind.name: kind for kind in kinds}
    for name in spec.spec.certificates.overrides:
        at: Location = (*_OVERRIDES, name)
        if name not in known:
            near = suggestion(name, tuple(known)) or f"; known are {', '.join(known)}"
            yield SpecFinding(at=at, message=f"is not the name of a certificate{near}", on_key=True)
        elif (absence := known[name].absence(spec)) is not None:
            yield no_effect(at, absence, EXTERNAL_ETCD, ("spec", "runtime"))


def _ca_names(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """Only a CA is called as somebody likes, and no two alike: verifiers look issuers up by name."""
    overrides = spec.spec.certificates.overrides
    given = {name: override.common_name for name, override in overrides.items() if override.common_name}
    called = {kind.name: given.get(kind.name, kind.common_name) for kind in kinds if kind.issuer_name is None}
    leaves = {kind.name for kind in kinds} - called.keys()
    for name, common_name in given.items():
        if name in leaves:
            at: Location = (*_OVERRIDES, name, "commonName")
            yield SpecFinding(at=at, message="is for CAs only: Kubernetes decides what leaves are called")
        else:
            yield from _shared_name(name, common_name, called)


def _bound_subjects(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Of other leaves Kubernetes decides who they are."""
    for name, override in spec.spec.certificates.overrides.items():
        for key, given in (("user", override.user), ("groups", override.groups)):
            if given is not None and name not in _BOUND:
                message = f"is for {', '.join(_BOUND)} only: of others Kubernetes decides who they are"
                yield SpecFinding(at=(*_OVERRIDES, name, key), message=message)
    # pflag reads --requestheader-allowed-names as a line of CSV.
    # In a static Pod `$` may stand for a variable.
    if set(spec.front_proxy) & set(',"$') and spec.manages(ManagedFiles.MANIFESTS):
        yield SpecFinding(
            at=(*_OVERRIDES, FRONT_PROXY_CLIENT, "user"),
            message="must have no comma, quotes or $: in the flag that it stands in, other names are read",
            given=(("spec", "manage"),),
        )


_BOUND: Final = ("admin.conf", "apiserver-kubelet-client", "front-proxy-client")
"""The certificates whose rights hang on bindings and flags that may name another subject."""


def _shared_name(name: str, common_name: str, called: Mapping[str, str]) -> Iterator[SpecFinding]:
    """A CA that is called like another one."""
    for other, theirs in called.items():
        if other != name and theirs == common_name:
            yield SpecFinding(
                at=(*_OVERRIDES, name, "commonName"),
                message=f"{quote(common_name)} is what {other} is called: verifiers look CAs up by name",
                given=((*_OVERRIDES, other, "commonName"),),
            )
            return


def _no_signer(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Kubelets that renew by themselves need somebody in the cluster who signs."""
    if not spec.signs_on_nodes and spec.spec.kubelet.rotate_certificates:
        here = spec.spec.certificates.ca_keys is CAKeys.SITE
        yield warning(
            (*_CERTIFICATES, "distributeCAKeys" if here else "caKeys"),
            "without ca.key the controller manager signs nothing: kubelets cannot renew their certificates "
            "with kubelet.rotateCertificates; renew them with pkigen, or run a signer of your own",
            ("spec", "kubelet", "rotateCertificates"),
        )


def _ca_keys(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Keys that are elsewhere are kept by somebody, and cannot be handed out here."""
    certificates = spec.spec.certificates
    if certificates.ca_keys is CAKeys.SITE:
        return
    if certificates.authority is Authority.LOCAL:
        yield SpecFinding(
            at=(*_CERTIFICATES, "caKeys"),
            message="offline can only be used with authority: offline, which keeps the keys and signs with "
            "them",
            given=((*_CERTIFICATES, "authority"),),
        )
    # Only what was written down: the default hands out a key, and says nothing here.
    if "distribute_ca_keys" in certificates.model_fields_set and certificates.distribute_ca_keys:
        yield SpecFinding(
            at=(*_CERTIFICATES, "distributeCAKeys"),
            message="must be empty with caKeys: offline, where this site has no CA keys",
            given=((*_CERTIFICATES, "caKeys"),),
        )


def _unseen_credentials(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A Pod sees what its manifest mounts, and somebody else's manifest need not mount what pkigen makes."""
    certificates = spec.spec.certificates
    by_path = certificates.kubeconfigs is Kubeconfigs.FILES
    if by_path and spec.spec.runtime is Runtime.STATIC_PODS and not spec.manages(ManagedFiles.MANIFESTS):
        directory = layout.credentials_directory(certificates.directory, layout.SCHEDULER_KUBECONFIG)
        yield warning(
            (*_CERTIFICATES, "kubeconfigs"),
            f"pkigen does not manage the manifests: the scheduler's Pod must mount {directory}, as pkigen's "
            "does, or it does not start",
            ("spec", "manage"),
        )


def _no_member(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Only a control-plane node that runs etcd has a place for etcd's CA."""
    names = spec.spec.certificates.distribute_ca_keys
    if KubeadmCA.ETCD in names and not set(spec.etcd_members) & set(spec.control_plane):
        at: Location = (*_CERTIFICATES, "distributeCAKeys", names.index(KubeadmCA.ETCD))
        yield no_effect(at, "no control-plane node runs etcd", EXTERNAL_ETCD, ROLES)


def _no_approver(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What a node asks for is signed here, in one step: that needs the CA keys."""
    certificates = spec.spec.certificates
    if certificates.ca_keys is not CAKeys.OFFLINE:
        return
    asking = [node.name for node in spec.spec.nodes if spec.key_home(node) is KeyHome.NODE]
    if asking:
        yield SpecFinding(
            at=(*_CERTIFICATES, "caKeys"),
            message=f"with offline, nobody at the site can approve the requests of {quote(asking[0])} for "
            "keys of its own: keep the CA keys at the site, or let the authority make that node's keys",
            given=((*_CERTIFICATES, "nodeKeys"), (*NODES, EVERY, "keys")),
        )


def _lifetime(spec: ClusterSpec, name: str, kinds: Collection[OverridableKind]) -> timedelta:
    """How long certificates of a kind are to live: by their own setting, or by that of CAs or leaves."""
    certificates = spec.spec.certificates
    override = certificates.overrides.get(name)
    if override is not None and override.validity is not None:
        return override.validity
    is_ca = any(kind.name == name and kind.issuer_name is None for kind in kinds)
    return certificates.ca_validity if is_ca else certificates.validity


def _leaf_validity(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No leaf may be meant to outlive its CA; issuing would cut it short."""
    certificates = spec.spec.certificates
    if certificates.validity > certificates.ca_validity:
        yield SpecFinding(
            at=(*_CERTIFICATES, "validity"),
            message=f"{format_duration(certificates.validity)} is longer than caValidity "
            f"({format_duration(certificates.ca_validity)}): no certificate outlives its CA",
            given=((*_CERTIFICATES, "caValidity"),),
        )


def _overridden_validities(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """Likewise where a kind of certificate has a validity of its own, the CA's or the leaf's."""
    known = {kind.name: kind for kind in kinds}
    for name, override in spec.spec.certificates.overrides.items():
        if override.validity is None or name not in known:
            continue
        issuer = known[name].issuer_name
        if issuer is None:
            yield from _short_ca(spec, name, override.validity, kinds)
        elif override.validity > _lifetime(spec, issuer, kinds):
            yield SpecFinding(
                at=(*_OVERRIDES, name, "validity"),
                message=f"{format_duration(override.validity)} is longer than the validity of {issuer} "
                f"({format_duration(_lifetime(spec, issuer, kinds))}): no certificate outlives its CA",
                given=((*_CERTIFICATES, "caValidity"), (*_OVERRIDES, issuer)),
            )


def _short_ca(
    spec: ClusterSpec, name: str, validity: timedelta, kinds: Collection[OverridableKind]
) -> Iterator[SpecFinding]:
    """A CA whose own validity is shorter than that of leaves which have none of their own."""
    certificates = spec.spec.certificates
    # Leaves with a validity of their own are compared with their CA in `_overridden_validities`.
    overridden = {each for each, override in certificates.overrides.items() if override.validity}
    by_default = any(kind.issuer_name == name and kind.name not in overridden for kind in kinds)
    # Where the leaves' validity is longer than `caValidity`, `_leaf_validity` has said so.
    if by_default and validity < certificates.validity <= certificates.ca_validity:
        yield SpecFinding(
            at=(*_OVERRIDES, name, "validity"),
            message=f"{format_duration(validity)} is shorter than the validity of leaves "
            f"({format_duration(certificates.validity)}): no certificate outlives its CA",
            given=((*_CERTIFICATES, "validity"), (*_CERTIFICATES, "caValidity")),
        )


def _user_validities(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """Likewise for the certificates of users, which the CA of the cluster signs."""
    longest = _lifetime(spec, "ca", kinds)
    for index, user in enumerate(spec.spec.users):
        if user.validity > longest:
            yield SpecFinding(
                at=("spec", "users", index, "validity"),
                message=f"{format_duration(user.validity)} is longer than the validity of the CA "
                f"({format_duration(longest)}): no certificate outlives its CA",
                given=((*_CERTIFICATES, "caValidity"), (*_OVERRIDES, "ca")),
            )


def _sizes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What a certificate names fits into one that clients read (OpenSSL stops at 100 KiB of them)."""
    what = spec.spec
    lists: list[tuple[Location, tuple[str, ...]]] = [
        (("spec", "apiServer", "certSANs"), what.api_server.cert_sans),
        (("spec", "etcd", "serverCertSANs"), what.etcd.server_cert_sans),
        (("spec", "etcd", "peerCertSANs"), what.etcd.peer_cert_sans),
        *(((*NODES, index, "certSANs"), node.cert_sans) for index, node in enumerate(what.nodes)),
        *((("spec", "users", index, "groups"), user.groups) for index, user in enumerate(what.users)),
    ]
    for at, names in lists:
        # Each has a header: of a SAN two octets, of a group its attribute's type, too (X.690 8.1).
        octets = sum(len(name.encode()) + _NAME_HEADER for name in names)
        if octets > _MOST_OCTETS:
            yield SpecFinding(
                at=at,
                message=f"makes a certificate of over {_MOST_OCTETS} octets, which some clients refuse: "
                f"give at most about {len(names) * _MOST_OCTETS // octets} of these {len(names)}",
            )


def _renewals(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """A window that was written down must be shorter than the life; the default adapts to it."""
    certificates = spec.spec.certificates
    if "renew_before" in certificates.model_fields_set and certificates.renew_before >= certificates.validity:
        yield SpecFinding(
            at=(*_CERTIFICATES, "renewBefore"),
            message=_too_early(certificates.renew_before, certificates.validity),
            given=((*_CERTIFICATES, "validity"),),
        )
    for name, override in certificates.overrides.items():
        lifetime = _lifetime(spec, name, kinds)
        if override.renew_before is not None and override.renew_before >= lifetime:
            yield SpecFinding(
                at=(*_OVERRIDES, name, "renewBefore"),
                message=_too_early(override.renew_before, lifetime),
                given=(
                    (*_OVERRIDES, name, "validity"),
                    (*_CERTIFICATES, "validity"),
                    (*_CERTIFICATES, "caValidity"),
                ),
            )


def _too_early(renew_before: timedelta, validity: timedelta) -> str:
    """A sentence about a window of renewal that is as long as the life, or longer."""
    return (
        f"{format_duration(renew_before)} is not shorter than the validity ({format_duration(validity)}): "
        "the certificate would be renewed on every run"
    )


def rules(kinds: Collection[OverridableKind]) -> tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]:
    """The rules of this module.

    Args:
        kinds: Every kind of certificate that there is: a higher room knows them.
    """
    return (
        partial(_override_names, kinds=kinds),
        partial(_ca_names, kinds=kinds),
        _bound_subjects,
        _no_signer,
        _no_member,
        _unseen_credentials,
        _sizes,
        _no_approver,
        _ca_keys,
        _leaf_validity,
        partial(_overridden_validities, kinds=kinds),
        partial(_user_validities, kinds=kinds),
        partial(_renewals, kinds=kinds),
    )
