"""Certification paths through CAs that Go accepts and pyca's verifier cannot read.

pyca refuses name constraints that begin with a dot, as most corporate CAs write them, and critical extensions
such as certificatePolicies. Go's `crypto/x509` (verify.go, parser.go) takes both; what is here follows it,
for the DNS names and addresses that pkigen's certificates have.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pkigen.crypto.names import extension_name, extension_of, is_self_issued

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.x509.oid import ObjectIdentifier

# Certificates below the anchor; it ends the search where CAs that sign each other make many paths.
_DEEPEST: Final = 8
_READ_BY_PYCA: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.NameConstraints,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.AuthorityKeyIdentifier,
    x509.SubjectKeyIdentifier,
    x509.AuthorityInformationAccess,
)
# What Go's crypto/x509 handles (parser.go, processExtensions). It handles policyConstraints, policyMappings
# and inhibitAnyPolicy since Go 1.24, which Kubernetes is built with since v1.33: older clusters refuse them.
_HANDLED: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.NameConstraints,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.CertificatePolicies,
    x509.CRLDistributionPoints,
)
_HANDLED_NAMES: Final = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
_SOUND_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

UNSIGNED: Final = "no trusted CA has signed it"
NAMESAKE: Final = "a CA of the same name, but with another key, has signed it"
EMPTY: Final = "the trust bundle is empty"
OUT_OF_TIME: Final = "a certificate of the path is not valid at this time"

_Subtree = x509.GeneralName
_Path = tuple[x509.Certificate, ...]


def is_beyond_pyca(certificate: x509.Certificate) -> bool:
    """Whether a CA is one that pyca's verifier refuses although Go accepts it."""
    return _asks_for_more_than_pyca_reads(certificate) or any(
        not isinstance(subtree, x509.DNSName | x509.IPAddress) or _has_leading_dot(subtree)
        for subtree in (*_permitted(certificate), *_excluded(certificate))
    )


def unhandled_critical(certificate: x509.Certificate) -> str | None:
    """A critical extension that Go does not handle: it refuses the certificate (RFC 5280 4.2)."""
    found = (each for each in certificate.extensions if each.critical and not _is_handled(each.value))
    return next((extension_name(each.oid) for each in found), None)


def _is_handled(value: x509.ExtensionType) -> bool:
    """Go leaves names of other kinds unread, and an extension with them unhandled."""
    if isinstance(value, x509.NameConstraints):
        subtrees = (*(value.permitted_subtrees or ()), *(value.excluded_subtrees or ()))
        return all(isinstance(subtree, _HANDLED_NAMES) for subtree in subtrees)
    if isinstance(value, x509.SubjectAlternativeName):
        return any(isinstance(name, _HANDLED_NAMES) for name in value)
    return isinstance(value, _HANDLED)


def does_not_name(name: str) -> str:
    """Why a client refuses a server's certificate that lacks the name which it connects to."""
    return f"it does not name {name}"


def _asks_for_more_than_pyca_reads(certificate: x509.Certificate) -> bool:
    return any(
        extension.critical and not isinstance(extension.value, _READ_BY_PYCA)
        for extension in certificate.extensions
    )


def refusal(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str, now: datetime
) -> str | None:
    """Why no path leads from a certificate to an anchor; None where one does.

    Args:
        chain: The certificate and what is sent with it.
        anchors: Whom the verifier trusts.
        name: What a client connects to; empty where a server verifies a client.
        now: The present, in UTC.
    """
    leaf = chain[0]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if name else ExtendedKeyUsageOID.CLIENT_AUTH
    fault = _unfit_leaf(leaf, usage, now) or (_misnamed(leaf, name) if name else None)
    return fault or _unfit_paths(chain, anchors, usage, now)


def refusal_by_go(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str, now: datetime
) -> str | None:
    """The same by Go's rules alone: for certificates of somebody else, which pkigen would make otherwise.

    Go wants of a leaf no keyUsage and no authorityKeyIdentifier, and takes one without extendedKeyUsage for
    anything (`crypto/x509` Verify).
    """
    leaf = chain[0]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if name else ExtendedKeyUsageOID.CLIENT_AUTH
    if not _may_be_used(leaf, usage):
        return f"its extendedKeyUsage does not allow {usage._name}"  # noqa: SLF001 -- the only name table
    fault = _unhandled(leaf) or _out_of_time(leaf, now) or (_misnamed(leaf, name) if name else None)
    return fault or _unfit_paths(chain, anchors, usage, now)


def explained_by_go(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str, now: datetime
) -> str | None:
    """The same, and of what no anchor has signed, what may be behind it."""
    reason = refusal_by_go(chain, anchors, name, now)
    if reason != UNSIGNED:
        return reason
    if not anchors:
        return EMPTY
    names = {each.subject for each in anchors}
    return NAMESAKE if any(each.issuer in names for each in chain) else UNSIGNED


def _unfit_paths(
    chain: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    usage: ObjectIdentifier,
    now: datetime,
) -> str | None:
    """Why none of the paths to an anchor holds; None where one does."""
    reason = UNSIGNED
    for path in _paths((chain[0],), chain[1:], anchors):
        fault = _unfit_path(path, usage, now)
        if fault is None:
            return None
        reason = fault
    return reason


def _paths(
    path: _Path, between: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> Iterator[_Path]:
    """Every way from the end of a path upwards to an anchor."""
    for anchor in anchors:
        if _signed(path[-1], anchor):
            yield (*path, anchor)
    if len(path) < _DEEPEST:
        for certificate in between:
            if certificate not in path and _signed(path[-1], certificate):
                yield from _paths((*path, certificate), between, anchors)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the signature of `issuer`'s key is on a certificate, with a hash that Go still accepts."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    if certificate.signature_algorithm_oid == SignatureAlgorithmOID.ED25519:
        return True  # it has a hash within it
    # Not for the anchor itself: nobody verifies its own signature (RFC 5280 6.1).
    return isinstance(certificate.signature_hash_algorithm, _SOUND_HASHES)


def _unfit_leaf(leaf: x509.Certificate, usage: ObjectIdentifier, now: datetime) -> str | None:
    """Why a leaf is refused by itself, as `path_verifier` would; None where it is not."""
    constraints, key_usage = extension_of(leaf, x509.BasicConstraints), extension_of(leaf, x509.KeyUsage)
    usages = extension_of(leaf, x509.ExtendedKeyUsage)
    if constraints is not None and constraints.value.ca:
        return "a CA certificate is presented as a leaf"
    if key_usage is None or not key_usage.value.digital_signature:
        return "its keyUsage does not allow digital signatures"
    if usages is None or usage not in usages.value:
        return f"its extendedKeyUsage does not allow {usage._name}"  # noqa: SLF001 -- the only name table
    if extension_of(leaf, x509.AuthorityKeyIdentifier) is None:
        return "it has no authorityKeyIdentifier"
    return _unhandled(leaf) or _out_of_time(leaf, now)


def _misnamed(leaf: x509.Certificate, name: str) -> str | None:
    """Why a leaf is not for a name: addresses are no names, `*` is one label (RFC 9525 6.3 and 6.4)."""
    try:
        address = ip_address(name)
    except ValueError:
        wanted = name.lower()
        above = f"*.{wanted.partition('.')[2]}"
        found = any(each.lower() in {wanted, above} for each in _dns_names(leaf))
    else:
        found = address in _addresses(leaf)
    return None if found else does_not_name(name)


def _unfit_path(path: _Path, usage: ObjectIdentifier, now: datetime) -> str | None:
    """The first fault of any CA of a path, from the leaf upwards; None where the path holds."""
    for depth, ca in enumerate(path[1:]):
        below = path[: depth + 1]
        fault = _unfit_ca(ca, below, usage) or _out_of_time(ca, now) or _not_permitted(ca, below)
        if fault is not None:
            return fault
    return None


def _unfit_ca(ca: x509.Certificate, below: _Path, usage: ObjectIdentifier) -> str | None:
    """Why a CA may not stand above `below` in a path (RFC 5280 6.1.4); None where it may."""
    constraints, key_usage = extension_of(ca, x509.BasicConstraints), extension_of(ca, x509.KeyUsage)
    if constraints is None or not constraints.value.ca:
        return "the issuer is not a CA"
    if key_usage is not None and not key_usage.value.key_cert_sign:
        return "the issuer may not sign certificates"
    # CAs that are issued to themselves do not count (RFC 5280 4.2.1.9).
    limit = constraints.value.path_length
    if limit is not None and sum(not is_self_issued(each) for each in below[1:]) > limit:
        return "there are more CAs below the issuer than its pathLenConstraint allows"
    if not _may_be_used(ca, usage):
        return f"the issuer's extendedKeyUsage does not allow {usage._name}"  # noqa: SLF001 -- as above
    return _unhandled(ca)


def _unhandled(certificate: x509.Certificate) -> str | None:
    """Why a certificate of the path is refused whatever else it says; None where Go handles all of it."""
    name = unhandled_critical(certificate)
    return name and f"a certificate of the path has the critical extension {name}, which Go does not handle"


def _may_be_used(certificate: x509.Certificate, usage: ObjectIdentifier) -> bool:
    usages = extension_of(certificate, x509.ExtendedKeyUsage)
    return usages is None or bool({usage, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages.value))


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why a certificate is not valid now; its notAfter still is (RFC 5280 4.1.2.5)."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return OUT_OF_TIME
    return None


def _not_permitted(ca: x509.Certificate, below: _Path) -> str | None:
    """Why a CA's constraints forbid a name below it (RFC 5280 4.2.1.10); None where none is forbidden."""
    names = (name for each in below for name in (*_dns_names(each), *_addresses(each)))
    return next((fault for name in names if (fault := _outside(ca, name)) is not None), None)


def _outside(ca: x509.Certificate, name: str | IPv4Address | IPv6Address) -> str | None:
    """Why a name is not the CA's to certify: excluded, or in none of the subtrees of its own kind."""
    covering = next((each for each in _excluded(ca) if _covers(each, name, excluding=True)), None)
    if covering is not None:
        return f"{name} is within the excluded subtree {covering.value} of its CA"
    # Constraints on names of another kind say nothing about this one (RFC 5280 4.2.1.10).
    same_kind = [each for each in _permitted(ca) if isinstance(each, _kind_of(name))]
    if same_kind and not any(_covers(each, name, excluding=False) for each in same_kind):
        return f"{name} is in no permitted subtree of its CA"
    return None


def _kind_of(name: str | IPv4Address | IPv6Address) -> type[_Subtree]:
    """The kind of constraint that applies to a name."""
    return x509.DNSName if isinstance(name, str) else x509.IPAddress


def _covers(subtree: _Subtree, name: str | IPv4Address | IPv6Address, *, excluding: bool) -> bool:
    """Whether a subtree holds a name; one that is excluded holds a wildcard that could become one in it."""
    if isinstance(name, str):
        return isinstance(subtree, x509.DNSName) and _holds(subtree.value, name, excluding=excluding)
    network = subtree.value
    return isinstance(network, IPv4Network | IPv6Network) and name in network


def _holds(subtree: str, name: str, *, excluding: bool) -> bool:
    """Whether a DNS name is in a subtree, by labels from the right (Go's matchDomainConstraint).

    A leading dot wants one label more.
    """
    # An empty subtree holds every DNS name.
    if not subtree:
        return True
    wanted = subtree.removeprefix(".").lower().split(".")[::-1]
    labels = name.lower().split(".")[::-1]
    needed = len(wanted) + subtree.startswith(".")
    if excluding and labels[-1] == "*" and len(labels) == len(wanted) == needed:
        return labels[:-1] == wanted[:-1]
    return len(labels) >= needed and labels[: len(wanted)] == wanted


def _has_leading_dot(subtree: _Subtree) -> bool:
    return isinstance(subtree, x509.DNSName) and subtree.value.startswith(".")


def _permitted(certificate: x509.Certificate) -> Sequence[_Subtree]:
    """The names that a CA may sign for; empty where nothing limits them."""
    constraints = extension_of(certificate, x509.NameConstraints)
    return () if constraints is None else constraints.value.permitted_subtrees or ()


def _excluded(certificate: x509.Certificate) -> Sequence[_Subtree]:
    """The names that a CA must not sign for."""
    constraints = extension_of(certificate, x509.NameConstraints)
    return () if constraints is None else constraints.value.excluded_subtrees or ()


def _dns_names(certificate: x509.Certificate) -> Sequence[str]:
    names = extension_of(certificate, x509.SubjectAlternativeName)
    return () if names is None else names.value.get_values_for_type(x509.DNSName)


def _addresses(certificate: x509.Certificate) -> Sequence[IPv4Address | IPv6Address]:
    """The iPAddress names that are single addresses; networks stand in name constraints only."""
    names = extension_of(certificate, x509.SubjectAlternativeName)
    found = () if names is None else names.value.get_values_for_type(x509.IPAddress)
    return [each for each in found if isinstance(each, IPv4Address | IPv6Address)]
