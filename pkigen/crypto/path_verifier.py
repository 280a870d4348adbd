"""Certification path verification with pyca's verifier, which shares no code with Go's `crypto/x509`.

What that verifier cannot read, although Go accepts it, `go_paths` verifies.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from pkigen.crypto import go_paths
from pkigen.crypto.go_paths import is_beyond_pyca
from pkigen.crypto.names import extension_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class PathVerifier:
    """Verifies certificates against trust bundles at one time, and caches the results.

    Thousands of edges share few certificates and bundles.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._verdicts: dict[tuple[bytes, ...], str | None] = {}

    def server(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """Why a client with these anchors refuses this server; None where it accepts it."""
        return self._remembered(chain, anchors, name)

    def client(self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> str | None:
        """Why a server with these anchors refuses this client; None where it accepts it."""
        return self._remembered(chain, anchors, "")

    def _remembered(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """The verdict of before, or a new one; it is known by all certificates and the name.

        The bar keeps chain and anchors apart.
        """
        key = (name.encode(), *(_digest(each) for each in chain), b"|", *(_digest(each) for each in anchors))
        if key not in self._verdicts:
            self._verdicts[key] = self._verify(chain, anchors, name)
        return self._verdicts[key]

    def _verify(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """Why the path does not hold; None where it does."""
        # pyca has no empty store.
        if not anchors:
            return go_paths.EMPTY
        # A whole path goes to one verifier or the other: half of each would prove nothing.
        if any(is_beyond_pyca(each) for each in (*chain[1:], *anchors)):
            return go_paths.refusal(chain, anchors, name, self._now)
        builder = PolicyBuilder().store(Store(list(anchors))).time(self._now)
        leaf, rest = chain[0], list(chain[1:])
        try:
            # Without a name it is a client: Kubernetes reads its CN and O, and checks
            # no name (`x509` authenticator).
            if name:
                builder = builder.extension_policies(ca_policy=_CA_POLICY, ee_policy=_SERVER_POLICY)
                builder.build_server_verifier(_subject(name)).verify(leaf, rest)
            else:
                builder = builder.extension_policies(ca_policy=_CA_POLICY, ee_policy=_CLIENT_POLICY)
                builder.build_client_verifier().verify(leaf, rest)
        except VerificationError as error:
            # What has no words here, Go's rules may have: a library's own text is never told.
            words = _in_words(str(error), name) or go_paths.refusal(chain, anchors, name, self._now)
            return words or "the path breaks a rule of RFC 5280"
        return None


# pyca's texts end with the `repr` of a certificate, whose names are anybody's.
_OBJECT = re.compile(r"\s*\(encountered processing <.*", re.DOTALL)
_VALIDATOR = re.compile(r"Python extension validator failed: \w+: (?P<reason>.*)")
_EXTENSION = re.compile(r"\binvalid extension: (?P<oid>[0-9.]{3,60}): (?P<fault>.*)")
_WORDS = (
    ("no interior errors", go_paths.UNSIGNED),
    ("signature does not match", go_paths.NAMESAKE),
    ("not valid at validation time", go_paths.OUT_OF_TIME),
    ("path length constraint", "there are more CAs below the issuer than its pathLenConstraint allows"),
    ("forbidden public key algorithm", "a certificate of the path is for a key of an unfit kind or size"),
    ("forbidden signature algorithm", "a certificate of the path is signed with an unfit algorithm"),
    ("key too weak", "a certificate of the path is for a key that is too weak"),
    ("serial number", "a serial number of the path is not positive, or has more than 20 octets"),
    ("critical extensions", "a certificate of the path has a critical extension that is not known"),
)


def _in_words(text: str, name: str) -> str | None:
    """A reason of pyca in `go_paths`' words where both find the same; None for one that has none here."""
    plain = _OBJECT.sub("", text)
    # A validator's reason is one of those below; our own policies refuse with them.
    ours = _VALIDATOR.search(plain)
    if ours is not None:
        return ours["reason"]
    if name and "subjectAltName" in plain:
        return go_paths.does_not_name(name)
    extension = _EXTENSION.search(plain)
    if extension is not None:
        oid = x509.ObjectIdentifier(extension["oid"])
        lacks = "missing" in extension["fault"]
        return f"it {'lacks the' if lacks else 'has an unfit'} extension {extension_name(oid)}"
    return next((words for theirs, words in _WORDS if theirs in plain.lower()), None)


def _digest(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())


def _subject(name: str) -> DNSName | IPAddress:
    """An address is compared with the iPAddress names only, never with a DNS name (RFC 9525 6.4)."""
    try:
        return IPAddress(ip_address(name))
    except ValueError:
        return DNSName(name)


def _require_ca(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    """Refuse an issuer that is not a CA (RFC 5280 6.1.4 (k))."""
    if not constraints.ca:
        raise ValueError("the issuer is not a CA")


def _may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """Refuse a CA whose keyUsage forbids signing (RFC 5280 6.1.4 (n)); one without keyUsage may sign."""
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the issuer may not sign certificates")


def _require_leaf(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    """Refuse a CA's certificate as a leaf: its key could sign for others, and should be on no server."""
    if constraints is not None and constraints.ca:
        raise ValueError("a CA certificate is presented as a leaf")


def _require_signature(_: Policy, __: x509.Certificate, usage: x509.KeyUsage) -> None:
    """Refuse a leaf whose key may not sign: TLS 1.3 proves every key so (RFC 8446 4.4.2.2)."""
    if not usage.digital_signature:
        raise ValueError("its keyUsage does not allow digital signatures")


def _require_client(_: Policy, __: x509.Certificate, usages: x509.ExtendedKeyUsage) -> None:
    """Refuse a client without clientAuth, the only usage that Kubernetes' servers take from one."""
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise ValueError("its extendedKeyUsage does not allow clientAuth")


def _require_server(_: Policy, __: x509.Certificate, usages: x509.ExtendedKeyUsage) -> None:
    """Refuse a server without serverAuth, which Go's clients want of every one."""
    if ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise ValueError("its extendedKeyUsage does not allow serverAuth")


# A CA that the user brought may lack keyUsage, which Go accepts; pyca's own policy would refuse it.
_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_ca)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
)


_LEAF_POLICY = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_leaf)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signature)
    # Generations of one CA are told apart by it (RFC 5280 4.2.1.1).
    .require_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, None)
)


_SERVER_POLICY = _LEAF_POLICY.require_present(
    x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
).require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_server)


# pyca's own client policy wants a SAN, which Kubernetes' client certificates do not have.
_CLIENT_POLICY = _LEAF_POLICY.may_be_present(
    x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
).require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_client)
