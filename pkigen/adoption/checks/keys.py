"""Private keys and what they belong to."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.inspection import named_paths
from pkigen.adoption.put_away import is_put_away, is_rotated
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.keys import describe, key_fault, public_der
from pkigen.crypto.names import extension_of, is_ca, is_self_issued, subject_of
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import (
        ForeignCluster,
        ForeignNode,
        FoundCertificate,
        FoundPair,
        Program,
        Spot,
    )

_ETCD_CLIENT: Final = "apiserver-etcd-client.crt"
_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1)
_TOKEN_SIGNERS: Final = {
    ComponentName.CONTROLLER_MANAGER: "service-account-private-key-file",
    ComponentName.API_SERVER: "service-account-signing-key-file",
}


def key_mismatch(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A key that belongs to another certificate."""
    for pair in _pairs(cluster):
        if pair.private is not None and pair.private != public_der(pair.certificate.public_key()):
            beside = "in it" if pair.key_spot == pair.spot else pair.key_spot.path
            yield AuditFinding(
                rule=AuditRule.KEY_MISMATCH,
                severity=AuditSeverity.ERROR,
                spot=pair.spot,
                detail=f"the key of {subject_of(pair.certificate)}, {beside}, is not that of the certificate",
            )


def key_missing(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A kubeconfig that holds a certificate and no key for it."""
    for node in cluster.nodes:
        for pair in node.pairs:
            # A key in another file may merely not have been copied: `missing_file` and `_unread_reference`
            # know of that.
            if pair.private is None and pair.key_spot == pair.spot:
                yield AuditFinding(
                    rule=AuditRule.KEY_MISSING,
                    severity=AuditSeverity.ERROR,
                    spot=pair.spot,
                    detail=f"{subject_of(pair.certificate)} has no key that can be read",
                )


def weak_key(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Keys that can be computed, and those that Go's TLS refuses."""
    # A certificate and the key beside it are one key, but two places; each place is named.
    keys: dict[tuple[Spot, bytes], None] = {}
    for found in cluster.each_certificate():
        keys[found.spot, public_der(found.certificate.public_key())] = None
    for node in cluster.nodes:
        for path, content in node.contents.items():
            for spki in (*content.private, *content.public):
                keys[node.spot(path), spki] = None
    for spot, spki in keys:
        fault = _fault(spki)
        if fault is not None:
            yield AuditFinding(
                rule=AuditRule.WEAK_KEY, severity=AuditSeverity.ERROR, spot=spot, detail=f"its key {fault}"
            )


def _fault(spki: bytes) -> str | None:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return "is of a kind that cannot be read"
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key_fault(key)
    return (
        None
        if isinstance(key, ed25519.Ed25519PublicKey)
        else f"is {describe(key)}, which Go's TLS does not have"
    )


def weak_signature(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """SHA-1 and MD5 below a root, whose own signature nobody verifies."""
    for found in cluster.each_certificate():
        try:
            algorithm = found.certificate.signature_hash_algorithm
        # The weak ones are all known.
        except UnsupportedAlgorithm:
            continue
        # Go refuses both (crypto/x509 `checkSignature`), but never looks at the signature of a root that is
        # in the pool.
        if isinstance(algorithm, _WEAK_HASHES):
            root = is_self_issued(found.certificate)
            yield AuditFinding(
                rule=AuditRule.WEAK_SIGNATURE,
                severity=AuditSeverity.INFORMATION if root else AuditSeverity.ERROR,
                spot=found.spot,
                detail=f"{subject_of(found.certificate)} is signed with {algorithm.name.upper()}"
                + (", which matters in no root" if root else ""),
            )


def duplicate_serial(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Two certificates of one CA with one number; that of a root is one of its own.

    A root that was renewed may have kept its number, as those whose number is 0 do.
    """
    seen: dict[tuple[bytes, bytes, int], dict[bytes, FoundCertificate]] = defaultdict(dict)
    # Roots first: then `others` are roots alone only where there is nothing else of that number.
    for found in sorted(cluster.each_certificate(), key=lambda each: not is_self_issued(each.certificate)):
        certificate = found.certificate
        name = certificate.issuer.public_bytes()
        number = (name, _authority_key(certificate), certificate.serial_number)
        # Copies of one certificate are one.
        seen[number].setdefault(certificate.fingerprint(hashes.SHA256()), found)
    for (_, _, serial), same in seen.items():
        first, *others = same.values()
        for other in others if not all(is_self_issued(each.certificate) for each in others) else ():
            yield AuditFinding(
                rule=AuditRule.DUPLICATE_SERIAL,
                severity=AuditSeverity.WARNING,
                spot=other.spot,
                detail=f"its serial number {serial:x} is also that of {first.spot}",
            )


def _authority_key(certificate: x509.Certificate) -> bytes:
    """CAs of one name are told apart by it; a root need not name its own."""
    if is_self_issued(certificate):
        own = extension_of(certificate, x509.SubjectKeyIdentifier)
        return own.value.digest if own is not None else b""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return extension.value.key_identifier or b""


def key_reused(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """One key under two identities, or one identity on two nodes.

    A CA and the key for tokens are the same on every control plane; everything else has a key of its own.
    """
    holders: dict[bytes, dict[tuple[str, bytes], tuple[Spot, bool]]] = defaultdict(dict)
    for key, holder, spot, is_authority in _holders(cluster):
        holders[key].setdefault(holder, (spot, is_authority))
    for places in holders.values():
        (first, first_is_authority), *others = places.values()
        for spot, is_authority in others:
            yield AuditFinding(
                rule=AuditRule.KEY_REUSED,
                severity=_weight(first, spot, is_authority=first_is_authority or is_authority),
                spot=spot,
                detail=f"its private key is also that of {first}",
            )


def _weight(first: Spot, other: Spot, *, is_authority: bool) -> AuditSeverity:
    """One client of etcd is on every control plane where kubeadm's guide to an external etcd was followed."""
    if is_authority:
        return AuditSeverity.ERROR
    names = {posixpath.basename(spot.path) for spot in (first, other)}
    return AuditSeverity.INFORMATION if names == {_ETCD_CLIENT} else AuditSeverity.WARNING


def key_copied(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A key that lies on one node in a second file, which no flag names.

    A copy beside its certificate is one of a whole directory, as people keep for the way back.
    """
    for node in cluster.nodes:
        named = named_paths(node)
        paired = {pair.key_spot.path for pair in node.pairs}
        for paths in _places(node).values():
            # What a flag names is no copy, and what lies beside its certificate is less of one than the rest.
            first, *others = sorted(paths, key=lambda path: (path not in named, path not in paired, path))
            for other in set(others) - named:
                kept = other in paired or is_put_away(other)
                yield AuditFinding(
                    rule=AuditRule.KEY_REUSED,
                    severity=AuditSeverity.INFORMATION if kept else AuditSeverity.WARNING,
                    spot=node.spot(other),
                    detail=f"it is a copy of the private key in {first}",
                )


def _places(node: ForeignNode) -> dict[bytes, list[str]]:
    """Where each private key lies, but for the files of a kubelet that rotates."""
    places: dict[bytes, list[str]] = defaultdict(list)
    for path, content in node.contents.items():
        for key in () if is_rotated(path) else content.private:
            places[key].append(path)
    return places


def _holders(cluster: ForeignCluster) -> Iterator[tuple[bytes, tuple[str, bytes], Spot, bool]]:
    """Each private key, whose it is (a subject, and on which node), where, and whether others rely on it."""
    for node in cluster.nodes:
        for pair in node.pairs:
            if pair.private is not None and pair.private == public_der(pair.certificate.public_key()):
                authority, subject = is_ca(pair.certificate), pair.certificate.subject.public_bytes()
                owner = "" if authority or _is_persons(pair) else node.name
                yield pair.private, (owner, subject), pair.spot, authority
        for spot, key in _token_keys(node):
            yield key, ("", b""), spot, True


def _is_persons(pair: FoundPair) -> bool:
    """People copy their kubeconfigs: admin.conf is the same wherever it is."""
    return pair.spot.part.startswith("user ") and not pair.spot.part.startswith("user system:")


def _token_keys(node: ForeignNode) -> Iterator[tuple[Spot, bytes]]:
    """What a node's controller manager and API server sign tokens with."""
    for component, flag in _TOKEN_SIGNERS.items():
        for program in node.running(component):
            value = program.flags.value(flag)
            path = program.flags.host_path(value)
            content = node.content(path) if value else None
            if content is not None:
                yield from ((node.spot(path), key) for key in content.private)


def token_key_unknown(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A key that signs tokens and that an API server does not judge them by."""
    for node, program in cluster.running(ComponentName.API_SERVER):
        judged_by = _known_token_keys(node, program)
        for other in cluster.nodes:
            for spot, key in _token_keys(other) if judged_by is not None else ():
                if key not in (judged_by or ()):
                    yield AuditFinding(
                        rule=AuditRule.TOKEN_KEY_UNKNOWN,
                        severity=AuditSeverity.ERROR,
                        spot=spot,
                        detail=f"{program} refuses its tokens: no --service-account-key-file has it",
                    )


def _known_token_keys(node: ForeignNode, program: Program) -> frozenset[bytes] | None:
    """Every key that an API server takes a token by; None where one of its files is not here."""
    found: set[bytes] = set()
    for value in program.flags.values("service-account-key-file"):
        content = node.content(program.flags.host_path(value))
        # Not all keys that count are known then: a signer that is not among the others may be in that file.
        if content is None:
            return None
        found.update(content.token_keys)
    return frozenset(found)


def _pairs(cluster: ForeignCluster) -> Iterator[FoundPair]:
    return (pair for node in cluster.nodes for pair in node.pairs)
