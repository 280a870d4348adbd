"""A certificate of a file as what it is: a CA's, a server's or a client's, and what a cluster says to it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.access import explanation
from pkigen.access.credentials import of_certificate
from pkigen.access.kubeconfig_summary import credential_lines, time_left
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import extension_of, name_text, subject_of
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.desired.generations import CA, ca_id
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pkigen.desired.items import DesiredCertificate


_MOST_SHOWN = 5


class _CertificateRole(enum.StrEnum):
    """What a certificate can be presented as."""

    CA = "a CA certificate"
    SERVER = "a serving certificate"
    PEER = "a certificate for serving and for clients"
    CLIENT = "a certificate"


def of_chain(
    chain: Sequence[x509.Certificate], cluster: explanation.Cluster | None, *, now: datetime
) -> tuple[str, ...]:
    """The first certificate of a file in words; the first line says what it is.

    Args:
        chain: What the file holds.
        cluster: Where to look it up; None where no cluster is given.
        now: The present, in UTC.
    """
    return (*_of_first(chain, cluster, now), *_others(chain))


def _others(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    """What else a file holds, which nobody who takes the first looks at."""
    subjects = [str(subject_of(each)) for each in chain[1:]]
    if subjects:
        more = f" and {len(subjects) - _MOST_SHOWN} more" if len(subjects) > _MOST_SHOWN else ""
        yield f"  holds, too:   {'; '.join(subjects[:_MOST_SHOWN])}{more}"


def _of_first(
    chain: Sequence[x509.Certificate], cluster: explanation.Cluster | None, now: datetime
) -> tuple[str, ...]:
    leaf, use = chain[0], _use(chain[0])
    own = _own(leaf, cluster)
    # First: of one that is the cluster's own more is known than its extensions say.
    if own is not None and cluster is not None:
        return (
            f"{use}: that of this cluster's {own.id}",
            *_described(leaf, now),
            *_signed_by(chain, own, cluster),
            *(explanation.explain(cluster, own.id) or ()),
        )
    # Of etcd's and the front proxy's CAs it is no credential of a user of the API server.
    if use is _CertificateRole.CLIENT and _issuer(chain, use, cluster) in {None, CA.KUBERNETES}:
        found = of_certificate(leaf, now=now)
        lines = (*credential_lines(found, now=now), *explanation.of_credential(found, cluster))
        return (use, *(f"  {line}" for line in lines))
    return (use, *_described(leaf, now), *_foreign(chain, use, cluster))


def _use(certificate: x509.Certificate) -> _CertificateRole:
    """By its extensions; one without extended key usages is a client's until somebody serves with it."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        return _CertificateRole.CA
    usages = extension_of(certificate, x509.ExtendedKeyUsage)
    found = set(usages.value) if usages is not None else set()
    serves = ExtendedKeyUsageOID.SERVER_AUTH in found
    if serves:
        return _CertificateRole.PEER if ExtendedKeyUsageOID.CLIENT_AUTH in found else _CertificateRole.SERVER
    return _CertificateRole.CLIENT


def _own(leaf: x509.Certificate, cluster: explanation.Cluster | None) -> DesiredCertificate | None:
    """The certificate of the inventory that this one is."""
    if cluster is None:
        return None
    for item in cluster.inventory.certificates.values():
        if observe_certificate(cluster.reader, item.location).certificate == leaf:
            return item
    return None


def _described(leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    end = leaf.not_valid_after_utc
    yield f"  subject:      {subject_of(leaf)}"
    names = extension_of(leaf, x509.SubjectAlternativeName)
    if names is not None:
        yield f"  names:        {', '.join(name_text(name) for name in names.value)}"
    yield f"  until:        {end:%Y-%m-%d %H:%M} UTC ({time_left(end, now)})"


def _signed_by(
    chain: Sequence[x509.Certificate], own: DesiredCertificate, cluster: explanation.Cluster
) -> Iterator[str]:
    if own.issuer is None:
        return
    refusal = _refusal(chain, _use(chain[0]), own.issuer, cluster)
    if refusal is not None:
        yield f"  broken:       its clients refuse it: {refusal}"


def _foreign(
    chain: Sequence[x509.Certificate], use: _CertificateRole, cluster: explanation.Cluster | None
) -> Iterator[str]:
    """What is none of this cluster's own, or of no cluster that is known."""
    if use is _CertificateRole.CA:
        yield "  verifies:     everything it has signed; it is never presented itself"
        if cluster is not None:
            yield f"  this cluster: {_other_ca(chain[0], cluster)}"
        return
    presented = (
        "its clients"
        if use is _CertificateRole.SERVER
        else "its clients, and the servers that it connects to"
    )
    issuer = _issuer(chain, use, cluster)
    if use is _CertificateRole.CLIENT and issuer is not None:
        presented = _JUDGES[issuer]
    yield f"  presented to: {presented}"
    if cluster is None:
        yield "  next:         give -C DIR too: whether the cluster's CA signed it"
    elif issuer is None:
        reason = _refusal(chain, use, CA.KUBERNETES, cluster)
        yield f"  this cluster: none of its CAs accepts it: {reason}"
    else:
        yield f"  this cluster: its {ca_id(issuer)} signed it, but the spec has no such certificate"


_JUDGES = {
    CA.KUBERNETES: "kube-apiserver, by --client-ca-file",
    CA.ETCD: "etcd, by --trusted-ca-file with --client-cert-auth; kube-apiserver refuses it",
    CA.FRONT_PROXY: "aggregated API servers, by --requestheader-client-ca-file",
}


def _other_ca(certificate: x509.Certificate, cluster: explanation.Cluster) -> str:
    for ca, anchors in explanation.trust_bundles(cluster):
        for anchor in anchors:
            # The key before the name: a renewed CA has the same key, another cluster's often the same name.
            if public_der(anchor.public_key()) == public_der(certificate.public_key()):
                return f"trusts it as {ca_id(ca)}, with another certificate for the same key"
            if anchor.subject == certificate.subject:
                return f"it is not {ca_id(ca)}: the same name, with another key"
    return "it is none of its CAs"


def _issuer(
    chain: Sequence[x509.Certificate], use: _CertificateRole, cluster: explanation.Cluster | None
) -> CA | None:
    """Which of the cluster's CAs signed it."""
    if cluster is None:
        return None
    return next((ca for ca in CA if _refusal(chain, use, ca, cluster) is None), None)


def _refusal(
    chain: Sequence[x509.Certificate], use: _CertificateRole, ca: CA, cluster: explanation.Cluster
) -> str | None:
    """Why whoever trusts a CA refuses a certificate; a server's under one of its own names."""
    anchors = dict(explanation.trust_bundles(cluster)).get(ca, ())
    names = extension_of(chain[0], x509.SubjectAlternativeName)
    name = ""
    if use in {_CertificateRole.SERVER, _CertificateRole.PEER} and names is not None:
        name = name_text(next(iter(names.value)))
        # A wildcard stands for one label (crypto/x509, `matchHostnames`): the domain itself is another name.
        name = f"any{name[1:]}" if name.startswith("*.") else name
    verifier = PathVerifier(cluster.now)
    return verifier.server(chain, anchors, name) if name else verifier.client(chain, anchors)
