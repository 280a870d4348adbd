"""The CAs that sign: read from the authority's directory, and refused with the reason where they are unfit.

A CA is pkigen's own or brought by the user, as a root or as an intermediate followed by its chain.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.ca_fitness import unfit, unfit_in_time
from pkigen.crypto.cross_certification import certifies
from pkigen.crypto.issuance import Issuer, certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_private, public_der, spki_fingerprint
from pkigen.crypto.names import extension_of, is_self_issued
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.generations import (
    CA,
    CertificateFile,
    KeyPairFiles,
    Phase,
    Slot,
    ca_id,
    ca_location,
    cross_path,
)
from pkigen.desired.items import sends_cross
from pkigen.errors import AuthorityError
from pkigen.notation import timestamp
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority_record import recorded_cas
from pkigen.state.observed import (
    Fault,
    FaultKind,
    ObservedCertificate,
    Reader,
    observe_certificate,
)
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CACertificates:
    """What the authority has of one CA without its key.

    `chain` is the issuing certificate and the intermediates above it, as servers send it after their own
    certificate; it is empty for a root. `other` is the generation that is trusted beside the signing one
    while a rotation is in progress; `complete` is false while that one is still to be made. `cross` is the
    certificate of this CA's key by the generation before it, as long as it serves.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    other: x509.Certificate | None = None
    complete: bool = True
    cross: x509.Certificate | None = None

    @classmethod
    def of_chain(cls, chain: Sequence[x509.Certificate]) -> CACertificates:
        """A CA followed by what stands above it, down to its root or not."""
        # Peers have the root: it may be left out of what servers send (RFC 8446 4.4.2).
        above = tuple(link for link in chain if not is_self_issued(link))
        return cls(certificate=chain[0], chain=above)

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """What peers are verified against, the signing CA first: the issuing CAs and nothing above them.

        Whatever a trust anchor has signed is let in, and Go's `x509.CertPool` takes any certificate for an
        anchor (`crypto/x509/verify.go`), so an intermediate's root must not be among them.
        """
        return (self.certificate,) if self.other is None else (self.certificate, self.other)

    def sent_after(self, item: DesiredCertificate) -> tuple[x509.Certificate, ...]:
        """What the holder of a certificate of this CA sends after it.

        Clients are verified by the CA itself, so only servers send what stands above them.
        """
        chain = self.chain if PROFILES[item.profile].sends_chain else ()
        return (*chain, self.cross) if self.cross is not None and sends_cross(item) else chain

    @property
    def trust_bundle(self) -> bytes | None:
        """PEM of the trust anchors; None while one of them is still to be made."""
        return certificate_pem(*self.anchors) if self.complete else None


def load_certificates(
    reader: Reader, ca: CA, *, now: datetime, keys: CAKeys, other: Slot | None = None
) -> CACertificates | None:
    """Read a CA's certificates; None where the authority has neither its certificate nor its key.

    Args:
        reader: Where the bytes come from.
        ca: Which CA.
        now: The present, in UTC.
        keys: Where its key is to be: here, or with an offline authority and therefore not here.
        other: The generation that is trusted beside the current one.

    Raises:
        AuthorityError: Only half of it is there, it cannot be read, it is unfit to sign, or its key is where
            none must be.
    """
    chain = _load_generation(reader, ca, Slot.CURRENT, now=now, keys=keys)
    if chain is None:
        return None
    if other is None:
        return CACertificates.of_chain(chain)
    second = _load_generation(reader, ca, other, now=now, keys=keys)
    # Until it is made, no trust bundle may be written: it would lack a generation that is to be trusted.
    if second is None:
        return replace(CACertificates.of_chain(chain), complete=False)
    # Of two CAs that a verifier cannot tell apart it may try the wrong one, and give up.
    fault = _indistinct(second[0], chain[0])
    if fault is not None:
        path = ca_location(ca, other).certificate
        raise AuthorityError(f"{path} {fault}", hint="give each generation a key and a name of its own")
    return replace(CACertificates.of_chain(chain), other=second[0])


def certificates_of(reader: Reader, inventory: Inventory, ca: CA, *, now: datetime) -> CACertificates | None:
    """Read a CA's certificates as an inventory has them: where its key is, and what is trusted beside it.

    Raises:
        AuthorityError: As `load_certificates` does.
    """
    rotations = inventory.rotations
    found = load_certificates(reader, ca, now=now, keys=inventory.ca_keys, other=rotations.other(ca_id(ca)))
    # Before the new generation signs, nothing needs a path to it.
    if found is None or ca_id(ca) not in rotations.crossed or rotations.phase(ca_id(ca)) is Phase.PREPARED:
        return found
    return replace(found, cross=_cross(reader, ca, found, now))


def _cross(reader: Reader, ca: CA, found: CACertificates, now: datetime) -> x509.Certificate | None:
    """The cross certificate as it lies there; None where it serves nobody: damaged, or the old CA ended."""
    cross = observe_certificate(reader, CertificateFile(certificate=cross_path(ca))).certificate
    if cross is None or found.other is None or now >= cross.not_valid_after_utc:
        return None
    return cross if certifies(cross, issuer=found.other, subject=found.certificate) else None


def _indistinct(one: x509.Certificate, other: x509.Certificate) -> str | None:
    """Why a verifier could take one generation of a CA for the other; None where none can.

    Issuers are looked up by name, and among those of one name by key identifier (RFC 5280 4.2.1.1).
    """
    if public_der(one.public_key()) == public_der(other.public_key()):
        return "has the same key as the other generation of this CA"
    identifiers = (_key_identifier(one), _key_identifier(other))
    if one.subject == other.subject and (None in identifiers or identifiers[0] == identifiers[1]):
        return "cannot be told from the other generation: the same subject, and no subjectKeyIdentifier apart"
    return None


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    """The SKI that leaves name their issuer by; None where the CA has none."""
    identifier = extension_of(certificate, x509.SubjectKeyIdentifier)
    return None if identifier is None else identifier.value.digest


def _load_generation(
    reader: Reader, ca: CA, slot: Slot, *, now: datetime, keys: CAKeys
) -> tuple[x509.Certificate, ...] | None:
    """One generation's certificate and chain, fit for what its slot asks of it; None where nothing is there.

    Raises:
        AuthorityError: As for `load_certificates`.
    """
    location = ca_location(ca, slot)
    observed = observe_certificate(reader, location)
    # What is here can be taken from here, whatever the spec says of it.
    if keys is CAKeys.OFFLINE and _is_there(observed.key_fault):
        raise AuthorityError(
            f"{location.key} exists, but the spec keeps the CA keys at the offline authority",
            hint="move it there; for CA keys at the site, set caKeys: site",
        )
    # Asked after the key's place: a key that must not be here is told of even where nothing else is.
    if observed.certificate is None:
        _require_nothing(observed, location)
        return None
    chain = (observed.certificate, *observed.chain)
    if slot is Slot.PREVIOUS:
        return chain  # it signs nothing any more: that its end or its key has come is no obstacle
    # First the certificate: of one that is unfit, no other form of its key helps.
    fault = unfit(chain, public_key=observed.public_key, now=now)
    if fault is not None:
        raise AuthorityError(
            f"{location.certificate} is unfit as the {ca.certificate_name} CA: {fault}",
            hint=_way_out(ca, chain, now, keys),
        )
    key_fault = observed.key_fault
    if key_fault is not None and keys is CAKeys.SITE:
        raise AuthorityError(
            f"{location.key} {key_fault.message}: {location.certificate} cannot sign without its key",
            hint="put the CA's private key beside its certificate, unencrypted and PEM; if it must never "
            "come here, let an offline authority sign (certificates.authority: offline, caKeys: offline)",
        )
    return chain


def _way_out(ca: CA, chain: tuple[x509.Certificate, ...], now: datetime, keys: CAKeys) -> str:
    """What to do about an unfit CA. Its files stay: whoever trusts it would not trust a new one."""
    clock = f"this machine's clock says {timestamp(now)}: set it if that is wrong"
    if any(now >= each.not_valid_after_utc for each in chain):
        return f"{_renewal(ca, chain, keys)}; {clock}"
    if unfit_in_time(chain, now) is not None:
        return f"{clock}; if it is right, ask whoever issued the CA"
    roots = [each for each in chain if is_self_issued(each)]
    # People who rotate by hand put both roots into one file, as a trust bundle has them.
    if len(roots) > 1:
        current, previous = (ca_location(ca, slot).certificate for slot in (Slot.CURRENT, Slot.PREVIOUS))
        return (
            f"keep in {current} the one whose key is beside it, with what stands above it; move the other to "
            f"{previous}, and its key beside it, as long as it is trusted (a rotation under way)"
        )
    return "provide a CA that is fit"


def _renewal(ca: CA, chain: tuple[x509.Certificate, ...], keys: CAKeys) -> str:
    """Who renews what has expired of a CA and its chain."""
    if len(chain) == 1 and is_self_issued(chain[0]) and keys is CAKeys.SITE:
        return "`pkigen rescue` renews an expired CA with the key that it has"
    return (
        "only whoever issued what has expired can renew it, for the same key: put it into "
        f"{ca_location(ca).certificate} then; an offline authority is asked with "
        f"`pkigen airgap authority request {ca_id(ca)}`"
    )


def _is_there(fault: Fault | None) -> bool:
    """Whether anything at all stands where a file was looked for, of use or not."""
    return fault is None or fault.kind is not FaultKind.MISSING


def _require_nothing(observed: ObservedCertificate, location: KeyPairFiles) -> None:
    """Refuse half of a CA: taken for none, a new CA would be made in the place of one that is trusted.

    Raises:
        AuthorityError: Its key, or something that is no certificate, is there.
    """
    fault = observed.certificate_fault
    key_is_there = _is_there(observed.key_fault)
    if fault is not None and fault.kind is FaultKind.MISSING and not key_is_there:
        return
    message = fault.message if fault is not None else "cannot be read"
    if key_is_there and (fault is None or fault.kind is FaultKind.MISSING):
        message = f"{message}, but {location.key} is there"
    raise AuthorityError(
        f"{location.certificate} {message}",
        hint=f"put the CA's certificate there as PEM, as {location.key} belongs to it"
        if key_is_there
        else "put the CA's certificate there as PEM, and its key beside it",
    )


def load_issuer(reader: Reader, ca: CA, certificates: CACertificates, *, slot: Slot = Slot.CURRENT) -> Issuer:
    """Read the private key of a CA whose certificates were found fit.

    Args:
        reader: The PKI directory; where the authority is encrypted, opened (`views.OpenedView`).
        ca: Which CA.
        certificates: Its certificates.
        slot: Which generation they are.

    Raises:
        AuthorityError: The key has gone since, was never here, or is sealed.
    """
    path = ca_location(ca, slot).key
    try:
        data = reader.read(path).data
    except MissingError:
        raise AuthorityError(
            f"{path} is missing: nothing can be signed with it here",
            hint="if an offline authority has it, request the certificate: `pkigen airgap authority request`",
        ) from None
    # Whoever signs was to open the vault first (state.views.OpenedView).
    if is_sealed(data):
        raise AuthorityError(f"{path} is sealed: it cannot sign before it is opened")
    try:
        # Not `load_own_private`: the key may have been brought, and one whose primes are none must not sign.
        key = load_private(data)
    except UnsupportedKeyError as error:
        raise AuthorityError(f"{path} {error}") from None
    return Issuer(certificate=certificates.certificate, key=key, chain=certificates.chain)


def load_all(
    reader: Reader,
    inventory: Inventory,
    *,
    now: datetime,
    revived: Collection[CA] = (),
    taking_over: bool = False,
) -> dict[CA, CACertificates]:
    """Read every CA that the authority has.

    Args:
        reader: The PKI directory.
        inventory: What must exist.
        now: The present, in UTC.
        revived: CAs that are about to get a new validity: that they have ended is no obstacle.
        taking_over: Whether another maker has made them: then two of them may share a key.

    Raises:
        AuthorityError: One of them is half there or unfit, or two of them share a key, of which nothing is
            recorded.
    """
    # All before any is used: a half of one CA stops the run before another signs anything.
    loaded = {
        ca: certificates_of(
            reader, inventory, ca, now=_while_valid(reader, ca, now) if ca in revived else now
        )
        for ca in inventory.authorities
    }
    present = {ca: certificates for ca, certificates in loaded.items() if certificates is not None}
    for fault in () if taking_over else unrecorded_sharing(reader, present):
        raise AuthorityError(fault, hint="give each CA a key of its own")
    for ca, certificates in present.items():
        until = certificates.certificate.not_valid_after_utc
        logger.info("read %s: valid until %s", ca_location(ca).certificate, timestamp(until))
    return present


def _while_valid(reader: Reader, ca: CA, now: datetime) -> datetime:
    """The last moment at which a CA was good, if that is over: whether it was fit then is what counts."""
    certificate = observe_certificate(reader, ca_location(ca)).certificate
    # `unfit` counts the last moment itself as past.
    return now if certificate is None else min(now, certificate.not_valid_after_utc - timedelta(seconds=1))


def look_at_all(
    reader: Reader, inventory: Inventory, *, now: datetime
) -> tuple[dict[CA, CACertificates], dict[CA, str]]:
    """Read every CA as far as possible, for reports: what is there, and what is wrong with which."""
    present: dict[CA, CACertificates] = {}
    faults: dict[CA, str] = {}
    for ca in inventory.authorities:
        try:
            certificates = certificates_of(reader, inventory, ca, now=now)
        except AuthorityError as error:
            faults[ca] = error.message
            # What is unfit is shown all the same: people look here for when it ends.
            certificates = None
            observed = observe_certificate(reader, ca_location(ca))
            if observed.certificate is not None:
                certificates = CACertificates.of_chain((observed.certificate, *observed.chain))
        if certificates is not None:
            present[ca] = certificates
    for fault in unrecorded_sharing(reader, present):
        # Reported with one of the two, and never in place of a fault of its own.
        faults.setdefault(next(iter(present)), fault)
    return present, faults


def sharing(authorities: Mapping[CA, CACertificates]) -> dict[CA, CA]:
    """The CAs whose signing key is another one's too, and whose."""
    first: dict[bytes, CA] = {}
    owners = {
        ca: first.setdefault(public_der(found.certificate.public_key()), ca)
        for ca, found in authorities.items()
    }
    return {ca: owner for ca, owner in owners.items() if owner is not ca}


def unrecorded_sharing(reader: Reader, authorities: Mapping[CA, CACertificates]) -> Iterator[str]:
    """Which CAs have the same key: whoever one lets in, the other would let in too.

    One that was taken over may be two CAs at once, or all three, until a rotation separates them. That it is
    so is recorded, as every key of the authority is; what nothing records is refused.
    """
    # By public key, not by certificate: a CA that was cross-signed or renewed is still the same one. Every
    # anchor counts, those of a rotation's other generation included.
    holders: dict[bytes, dict[CA, None]] = {}
    for ca, found in authorities.items():
        for anchor in found.anchors:
            holders.setdefault(public_der(anchor.public_key()), {})[ca] = None
    for public, (first, *others) in holders.items():
        known = recorded_cas(reader, spki_fingerprint(public)) if others else frozenset()
        for ca in others:
            if not {first, ca} <= known:
                yield (
                    f"{ca_location(first).certificate} and {ca_location(ca).certificate} have the same key: "
                    "every client of one would be accepted by the other"
                )
