"""Certification paths by the rules of Go's `crypto/x509` (verify.go), which all of Kubernetes follows.

Another verifier is stricter here and laxer there: what it refuses may run, and what it accepts may not.
`tests/crypto/test_chain_verdicts.py` holds these rules against a real Go.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pkigen.crypto.go_certificates import unfit_for_tls, unfit_key, unhandled_critical, unreadable
from pkigen.crypto.go_constraints import not_permitted
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.x509.oid import ObjectIdentifier

_MOST_CANDIDATES: Final = 100  # maxChainSignatureChecks: CAs that sign each other make very many paths
# checkSignature (x509.go) refuses MD5 and SHA-1 with InsecureAlgorithmError, whoever has signed.
_SOUND_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# validHostname (verify.go): `_` is no letter of host names, but it is found in deployments, so Go lets it
# pass.
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_][a-z0-9_-]*)*")

UNSIGNED: Final = "no trusted CA has signed it"
OTHER_KEY: Final = "a CA of the same name, but with another key, has signed it"
OUT_OF_TIME: Final = "a certificate of the path is not valid at this time"
TOO_MANY: Final = f"there are more than {_MOST_CANDIDATES} candidates for its issuers, and Go gives up"

_Path = tuple[x509.Certificate, ...]


def does_not_name(name: str) -> str:
    """Why a client refuses a server's certificate that lacks the name which it connects to."""
    return f"it does not name {name}"


def refusal(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str, now: datetime
) -> str | None:
    """Why no path leads from a certificate to an anchor; None where one does.

    Go wants of a leaf neither keyUsage nor authorityKeyIdentifier, takes one without extendedKeyUsage for
    anything, and a CA's certificate for a leaf.

    Args:
        chain: The certificate and what is sent with it.
        anchors: Whom the verifier trusts.
        name: What a client connects to; empty where a server verifies a client.
        now: The present, in UTC.
    """
    leaf = chain[0]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if name else ExtendedKeyUsageOID.CLIENT_AUTH
    if not _may_be_used(leaf, usage):
        return f"its extendedKeyUsage does not allow {usage._name}"  # noqa: SLF001 -- the only name table
    fault = _unreadable(chain) or _unhandled(leaf) or _out_of_time(leaf, now)
    fault = fault or (name_refusal(leaf, name) if name else None)
    return fault or _unfit_paths(chain, [each for each in anchors if not unreadable(each)], usage, now)


def _unreadable(chain: Sequence[x509.Certificate]) -> str | None:
    """Why a handshake ends before there is a path: all that is sent is parsed first, useful or not."""
    return next((fault for each in chain if (fault := unreadable(each)) is not None), unfit_for_tls(chain))


def _unfit_paths(
    chain: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    usage: ObjectIdentifier,
    now: datetime,
) -> str | None:
    """Why none of the paths to an anchor holds; None where one does."""
    # What is trusted itself needs nobody above it.
    # Go takes the leaf for the whole chain then, and looks at no issuer (Verify: `opts.Roots.contains`).
    if chain[0] in anchors:
        return None
    search = _Search(chain[1:], anchors, now)
    reason = None
    for path in search.paths((chain[0],)):
        fault = _unfit_path(path, usage)
        if fault is None:
            return None
        reason = fault
    return reason or search.fault or _why_unsigned(chain, anchors)


def _why_unsigned(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> str:
    """What stands in the way of a path, as far as it can be seen."""
    if not all(_has_sound_signature(each) for each in chain):
        return "a certificate of the path is signed with an unfit algorithm"
    subjects = {each.subject for each in anchors}
    return OTHER_KEY if any(each.issuer in subjects for each in chain) else UNSIGNED


class _Search:
    """The ways from a leaf upwards to the anchors, as Go looks for them (buildChains)."""

    def __init__(
        self, between: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now: datetime
    ) -> None:
        self._between = _by_subject(between)
        self._anchors = _by_subject(anchors)
        self._now = now
        self._left = _MOST_CANDIDATES
        self.fault: str | None = None
        """Why the last CA that would have led on may not."""

    def paths(self, path: _Path) -> Iterator[_Path]:
        """Every way that goes on from a path: to the anchors first, then over what was sent."""
        for anchor in _candidates(path[-1], self._anchors):
            if self._leads_on(path, anchor, is_anchor=True):
                yield (*path, anchor)
        for ca in _candidates(path[-1], self._between):
            if self._leads_on(path, ca, is_anchor=False):
                yield from self.paths((*path, ca))

    def _leads_on(self, path: _Path, ca: x509.Certificate, *, is_anchor: bool) -> bool:
        """Whether a CA may stand above a path; the number of times that this is asked is limited."""
        if self._left == 0:
            self.fault = TOO_MANY
            return False
        self._left -= 1
        if _is_in(path, ca) or not _signed(path[-1], ca):
            return False
        fault = _unfit_ca(ca, path, is_anchor=is_anchor) or _out_of_time(ca, self._now)
        self.fault = fault or self.fault
        return fault is None


def _by_subject(cas: Sequence[x509.Certificate]) -> dict[bytes, list[x509.Certificate]]:
    """A pool of Go's: what is in it twice is in it once, and names are compared byte by byte."""
    found: dict[bytes, list[x509.Certificate]] = {}
    # In the order in which they were added: among equals Go tries the first one first.
    for each in dict.fromkeys(cas):
        found.setdefault(each.subject.public_bytes(), []).append(each)
    return found


def _candidates(
    certificate: x509.Certificate, pool: dict[bytes, list[x509.Certificate]]
) -> list[x509.Certificate]:
    """Who may have signed a certificate, the most plausible first (findPotentialParents)."""
    wanted = extension_of(certificate, x509.AuthorityKeyIdentifier)
    identifier = (wanted.value.key_identifier if wanted is not None else None) or b""

    def implausibility(ca: x509.Certificate) -> int:
        extension = extension_of(ca, x509.SubjectKeyIdentifier)
        own = extension.value.digest if extension is not None else b""
        # One with another identifier is still tried, after all the others: the signature decides.
        return 0 if own == identifier else 1 if not own or not identifier else 2

    return sorted(pool.get(certificate.issuer.public_bytes(), []), key=implausibility)


def _is_in(path: _Path, certificate: x509.Certificate) -> bool:
    """Whether a CA stands in a path already: the same name and key, whoever signed it (alreadyInChain).

    Where only one of them has a subjectAltName, Go looks no further.
    """
    own = _san_of(certificate)
    for each in path:
        if _name_and_key(each) == _name_and_key(certificate):
            other = _san_of(each)
            if own == other:
                return True
            if own is None or other is None:
                return False
    return False


def _name_and_key(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    return certificate.subject.public_bytes(), public_der(certificate.public_key())


def _san_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    extension = extension_of(certificate, x509.SubjectAlternativeName)
    return extension.value if extension is not None else None


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the signature of `issuer`'s key is on a certificate, in a way that Go still accepts."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return unfit_key(issuer) is None and _has_sound_signature(certificate)


def _has_sound_signature(certificate: x509.Certificate) -> bool:
    """Whether Go knows the algorithm and trusts it; of RSA-PSS it takes one salt and one mask."""
    if certificate.signature_algorithm_oid == SignatureAlgorithmOID.ED25519:
        return True  # it has a hash within it
    try:
        algorithm = certificate.signature_hash_algorithm
        parameters = certificate.signature_algorithm_parameters
    except (UnsupportedAlgorithm, ValueError):
        return False
    if algorithm is None or not isinstance(algorithm, _SOUND_HASHES):
        return False
    if not isinstance(parameters, padding.PSS):
        return True
    mask, salt = parameters._mgf, parameters._salt_length  # noqa: SLF001 -- there is no other way to them
    own = mask._algorithm.name == algorithm.name  # noqa: SLF001 -- as above
    return own and salt == algorithm.digest_size


def name_refusal(leaf: x509.Certificate, name: str) -> str | None:
    """Why a leaf is not for a name: addresses are no names, `*` is one label (Go's VerifyHostname)."""
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        found = any(_is_for(pattern.lower(), name.lower()) for pattern in _dns_names(leaf))
    else:
        found = _plain(address) in map(_plain, _addresses(leaf))
    return None if found else does_not_name(name)


def _is_for(pattern: str, name: str) -> bool:
    """Whether a DNS name of a certificate is for a host; what is no host name must be the same."""
    # Go trims the dot of a full name that is asked for (splitHostname); with one, a pattern is no host name.
    host = name.removesuffix(".")
    if not _HOST.fullmatch(pattern) or not _HOST.fullmatch(host) or host.startswith("*"):
        return pattern == name and name not in {"", "."}
    return pattern == host or (pattern.startswith("*.") and pattern[1:] == f".{host.partition('.')[2]}")


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An address of IPv4 may be written as one of IPv6."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _unfit_path(path: _Path, usage: ObjectIdentifier) -> str | None:
    """What only a whole path is judged by: the first fault from the leaf upwards; None where it holds."""
    for depth, ca in enumerate(path[1:]):
        if not _may_be_used(ca, usage):
            return f"the issuer's extendedKeyUsage does not allow {usage._name}"  # noqa: SLF001 -- as above
        fault = not_permitted(ca, path[: depth + 1])
        if fault is not None:
            return fault
    return None


def _unfit_ca(ca: x509.Certificate, below: _Path, *, is_anchor: bool) -> str | None:
    """Why a CA may not stand above `below` in a path (RFC 5280 6.1.4); None where it may."""
    constraints = extension_of(ca, x509.BasicConstraints)
    # An anchor of version 1 has no extensions at all, and is taken for what it is trusted as.
    if constraints is None and is_anchor and ca.version is x509.Version.v1:
        return None
    if constraints is None or not constraints.value.ca:
        return "the issuer is not a CA"
    if _signs_nothing(ca):
        return "the issuer may not sign certificates"
    # Go counts CAs that are issued to themselves too, which RFC 5280 4.2.1.9 does not.
    limit = constraints.value.path_length
    if limit is not None and len(below) - 1 > limit:
        return "there are more CAs below the issuer than its pathLenConstraint allows"
    return _unhandled(ca)


def _signs_nothing(ca: x509.Certificate) -> bool:
    """Whether a CA's keyUsage is for other things; Go takes one without any bit for none."""
    usage = extension_of(ca, x509.KeyUsage)
    # The bits stand behind tag, length and the number of unused ones (X.690 8.6).
    return usage is not None and not usage.value.key_cert_sign and any(usage.value.public_bytes()[3:])


def _unhandled(certificate: x509.Certificate) -> str | None:
    """Why a certificate of the path is refused whatever else it says; None where Go handles all of it."""
    if extension_of(certificate, x509.PolicyConstraints) is not None:
        return "a certificate of the path has policyConstraints, which Kubernetes handles since v1.33 only"
    name = unhandled_critical(certificate)
    return name and f"a certificate of the path has the critical extension {name}, which Go does not handle"


def _may_be_used(certificate: x509.Certificate, usage: ObjectIdentifier) -> bool:
    """As checkChainForKeyUsage asks of every certificate of a path: one without the extension allows all."""
    usages = extension_of(certificate, x509.ExtendedKeyUsage)
    return usages is None or bool({usage, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages.value))


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why a certificate is not valid now; its notAfter still is (RFC 5280 4.1.2.5)."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return OUT_OF_TIME
    return None


def _dns_names(certificate: x509.Certificate) -> Sequence[str]:
    names = extension_of(certificate, x509.SubjectAlternativeName)
    return () if names is None else names.value.get_values_for_type(x509.DNSName)


def _addresses(certificate: x509.Certificate) -> Sequence[IPv4Address | IPv6Address]:
    """The iPAddress names that are single addresses; networks stand in name constraints only."""
    names = extension_of(certificate, x509.SubjectAlternativeName)
    found = () if names is None else names.value.get_values_for_type(x509.IPAddress)
    return [each for each in found if isinstance(each, IPv4Address | IPv6Address)]
