"""Rules about lifetimes, and about the names of certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.notation import format_duration
from pkigen.spec.findings import Location, SpecFinding, no_effect, warning
from pkigen.spec.model import CA_CERTIFICATE_NAMES, CERTIFICATE_NAMES, Authority, CAKeys, KeyHome, Runtime
from pkigen.spec.translation import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from pkigen.spec.model import ClusterSpec


_OTHER_ISSUERS: Final = {
    "etcd-server": "etcd-ca",
    "etcd-peer": "etcd-ca",
    "etcd-healthcheck-client": "etcd-ca",
    "apiserver-etcd-client": "etcd-ca",
    "front-proxy-client": "front-proxy-ca",
}
"""Which CA signs what; all other leaves are signed by `ca` (K/phases/certs/certlist.go)."""
_CERTIFICATES: Final[Location] = ("spec", "certificates")
_OVERRIDES: Final[Location] = (*_CERTIFICATES, "overrides")


def _override_names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    overrides = spec.spec.certificates.overrides
    absent = {}
    if spec.spec.etcd.external is not None:
        names = ("etcd-ca", *(name for name, issuer in _OTHER_ISSUERS.items() if issuer == "etcd-ca"))
        absent = dict.fromkeys(names, "etcd is external")
    if spec.spec.runtime is not Runtime.SYSTEMD:
        absent["kube-proxy.conf"] = "kube-proxy runs in the cluster, with a token"
    for name in overrides:
        at: Location = (*_OVERRIDES, name)
        if name not in CERTIFICATE_NAMES:
            near = suggestion(name, CERTIFICATE_NAMES) or f"; known are {', '.join(CERTIFICATE_NAMES)}"
            yield SpecFinding(at=at, message=f"is no certificate's name{near}", on_key=True)
        elif name in absent:
            yield no_effect(at, absent[name], ("spec", "etcd"), ("spec", "runtime"))


def _no_signer(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Kubelets that renew by themselves need somebody in the cluster who signs."""
    if not spec.ca_keys_on_nodes and spec.spec.kubelet.rotate_certificates:
        here = spec.spec.certificates.ca_keys is CAKeys.SITE
        yield warning(
            (*_CERTIFICATES, "distributeCAKeys" if here else "caKeys"),
            "without CA keys the controller manager signs nothing: kubelets cannot renew their certificates "
            "with kubelet.rotateCertificates; renew them here, or run a signer of your own",
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
            message="offline goes with authority: offline, which keeps the keys and signs with them",
            given=((*_CERTIFICATES, "authority"),),
        )
    if "distribute_ca_keys" in certificates.model_fields_set and certificates.distribute_ca_keys:
        yield SpecFinding(
            at=(*_CERTIFICATES, "distributeCAKeys"),
            message="cannot be true with caKeys: offline, where this site has no CA keys",
            given=((*_CERTIFICATES, "caKeys"),),
        )


def _no_approver(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What a node asks for is signed here, in one step: that needs the CA keys."""
    certificates = spec.spec.certificates
    if certificates.ca_keys is not CAKeys.OFFLINE:
        return
    asking = [node.name for node in spec.spec.nodes if spec.key_home(node) is KeyHome.NODE]
    if asking:
        yield SpecFinding(
            at=(*_CERTIFICATES, "caKeys"),
            message=f"offline leaves nobody here who could approve what {quote(asking[0])} asks for with "
            "keys of its own: keep the CA keys at the site, or let the authority make that node's keys",
            given=((*_CERTIFICATES, "nodeKeys"), ("spec", "nodes")),
        )


def _lifetime(spec: ClusterSpec, name: str) -> timedelta:
    certificates = spec.spec.certificates
    override = certificates.overrides.get(name)
    if override is not None and override.validity is not None:
        return override.validity
    return certificates.ca_validity if name in CA_CERTIFICATE_NAMES else certificates.validity


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


def _overridden_validities(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Likewise where a kind of certificate has a validity of its own, the CA's or the leaf's."""
    certificates = spec.spec.certificates
    for name, override in certificates.overrides.items():
        if override.validity is None or name not in CERTIFICATE_NAMES:
            continue
        at: Location = (*_OVERRIDES, name, "validity")
        if name in CA_CERTIFICATE_NAMES:
            if override.validity < certificates.validity <= certificates.ca_validity and _default_leaves(
                spec, name
            ):
                yield SpecFinding(
                    at=at,
                    message=f"{format_duration(override.validity)} is shorter than the validity of leaves "
                    f"({format_duration(certificates.validity)}): no certificate outlives its CA",
                    given=((*_CERTIFICATES, "validity"), (*_CERTIFICATES, "caValidity")),
                )
            continue
        issuer = _OTHER_ISSUERS.get(name, "ca")
        if override.validity > _lifetime(spec, issuer):
            yield SpecFinding(
                at=at,
                message=f"{format_duration(override.validity)} is longer than the validity of {issuer} "
                f"({format_duration(_lifetime(spec, issuer))}): no certificate outlives its CA",
                given=((*_CERTIFICATES, "caValidity"), (*_OVERRIDES, issuer)),
            )


def _user_validities(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Likewise for the certificates of users, which the CA of the cluster signs."""
    longest = _lifetime(spec, "ca")
    for index, user in enumerate(spec.spec.users):
        if user.validity > longest:
            yield SpecFinding(
                at=("spec", "users", index, "validity"),
                message=f"{format_duration(user.validity)} is longer than the validity of the CA "
                f"({format_duration(longest)}): no certificate outlives its CA",
                given=((*_CERTIFICATES, "caValidity"), (*_OVERRIDES, "ca")),
            )


def _default_leaves(spec: ClusterSpec, authority: str) -> list[str]:
    """The leaves of a CA that have no validity of their own."""
    overridden = {name for name, override in spec.spec.certificates.overrides.items() if override.validity}
    leaves = set(CERTIFICATE_NAMES) - set(CA_CERTIFICATE_NAMES) - overridden
    return sorted(name for name in leaves if _OTHER_ISSUERS.get(name, "ca") == authority)


def _renewals(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A window that was written down must be shorter than the life; the default adapts to it."""
    certificates = spec.spec.certificates
    if "renew_before" in certificates.model_fields_set and certificates.renew_before >= certificates.validity:
        yield SpecFinding(
            at=(*_CERTIFICATES, "renewBefore"),
            message=_too_early(certificates.renew_before, certificates.validity),
            given=((*_CERTIFICATES, "validity"),),
        )
    for name, override in certificates.overrides.items():
        if override.renew_before is not None and override.renew_before >= _lifetime(spec, name):
            yield SpecFinding(
                at=(*_OVERRIDES, name, "renewBefore"),
                message=_too_early(override.renew_before, _lifetime(spec, name)),
                given=(
                    (*_OVERRIDES, name, "validity"),
                    (*_CERTIFICATES, "validity"),
                    (*_CERTIFICATES, "caValidity"),
                ),
            )


def _too_early(renew_before: timedelta, validity: timedelta) -> str:
    return (
        f"{format_duration(renew_before)} is not shorter than the validity ({format_duration(validity)}): "
        "the certificate would be renewed on every run"
    )


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _override_names,
    _no_signer,
    _no_approver,
    _ca_keys,
    _leaf_validity,
    _overridden_validities,
    _user_validities,
    _renewals,
)
