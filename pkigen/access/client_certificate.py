"""A client certificate for somebody else's key: an approved identity, signed by the cluster's CA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.issuance import CertificateContent, Entropy, certificate_pem, issue_for
from pkigen.crypto.names import SANs, subject_of
from pkigen.crypto.profiles import PROFILES, Profile
from pkigen.desired.generations import CA
from pkigen.errors import AccessError
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import certificates_of, load_issuer
from pkigen.state.issuance_record import record
from pkigen.state.key_owners import key_owners
from pkigen.state.ledger import CERTIFYING, Event, LedgerEntry, lines_of, read_ledger
from pkigen.state.lockfile import certificate_facts, read_lock
from pkigen.state.signed_certificates import BY_CLUSTER, REQUEST

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cryptography import x509

    from pkigen.access.requests import Request
    from pkigen.crypto.names import Subject
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader
    from pkigen.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A certificate for somebody who has its key.

    `pem` has the intermediates after the certificate where the CA is one; `capped` says that it was shortened
    to its CA's end. `others` are other names that the same key was certified for before.
    """

    certificate: x509.Certificate
    pem: bytes
    trust_bundle: bytes
    capped: bool
    others: tuple[str, ...]


def sign(  # noqa: PLR0913 -- what is signed, for whom, from where, and what is recorded
    request: Request,
    subject: Subject,
    validity: timedelta,
    *,
    inventory: Inventory,
    store: Store,
    keys: Reader,
    now: datetime,
    entropy: Entropy,
    because: str | None = None,
) -> Signed:
    """Certify the request's key for an approved identity, and record it in the ledger.

    Args:
        request: Whose key is certified; nothing else is taken from it.
        subject: The approved identity.
        validity: How long it is valid; never beyond the CA's expiry.
        inventory: Of this cluster.
        store: The PKI directory, held alone.
        keys: The same with its private files opened.
        now: The present, in UTC.
        entropy: Where the serial number comes from.
        because: Why the identity may be one of Kubernetes' own; goes on record.

    Raises:
        AuthorityError: The CA cannot sign.
        AccessError: There is no CA, the key is one of the cluster's own, or nothing can be put on record.
    """
    if inventory.ca_keys is CAKeys.OFFLINE:
        raise AccessError(
            "the CA's key is at the offline authority: nothing can be signed here",
            hint="add the user to spec.users, then request the certificate: "
            "`pkigen airgap authority request`",
        )
    authority = certificates_of(store, inventory, CA.KUBERNETES, now=now)
    if authority is None:
        raise AccessError("the PKI directory has no CA that could sign", hint="make it with `pkigen init`")
    require_own_key(request, inventory, store, now=now)
    issuer = load_issuer(keys, CA.KUBERNETES, authority)
    content = CertificateContent(subject=subject, sans=SANs(), profile=Profile.CLIENT, validity=validity)
    issued = issue_for(content, public_key=request.key, issuer=issuer, now=now, entropy=entropy)
    facts = certificate_facts(issued.certificate)
    if because is not None:
        facts |= {"systemIdentity": because}
    identifier = f"{REQUEST}{subject.common_name}"
    entry = LedgerEntry(event=Event.SIGNED, id=identifier, reason=None, facts=facts)
    # Read before the new line is written, which would name this key as well.
    others = _names_of(request.key_fingerprint, store) - {subject.common_name}
    # On record before it is handed out: what the ledger does not know cannot be named to revoke it.
    record(store, entry, now=now, keep_backups=inventory.cluster.spec.backups.keep)
    chain = issuer.chain if PROFILES[Profile.CLIENT].sends_chain else ()
    return Signed(
        certificate=issued.certificate,
        pem=certificate_pem(issued.certificate, *chain),
        trust_bundle=authority.trust_bundle or b"",
        capped=issued.capped,
        others=tuple(sorted(others)),
    )


def take_note(certificate: x509.Certificate, *, store: Store, now: datetime, keep_backups: int) -> bool:
    """Put a certificate on record that the cluster itself has signed; false where it is known.

    Args:
        certificate: A person's, as it came from the cluster; one of the cluster's CA has signed it.
        store: The PKI directory, held alone.
        now: The present, in UTC.
        keep_backups: How many backups stay.

    Raises:
        AccessError: Nothing can be put on record.
    """
    facts, ledger = certificate_facts(certificate), read_ledger(store)
    known = (line for event in CERTIFYING for line in lines_of(ledger, event))
    if any(line.get("fingerprint") == facts["fingerprint"] for line in known):
        return False
    identifier = f"{REQUEST}{subject_of(certificate).common_name}"
    entry = LedgerEntry(
        event=Event.SIGNED, id=identifier, reason=None, facts={**facts, BY_CLUSTER: "cluster"}
    )
    record(store, entry, now=now, keep_backups=keep_backups)
    return True


def require_own_key(request: Request, inventory: Inventory, reader: Reader, *, now: datetime) -> None:
    """Refuse to certify a key that is the cluster's, or was: whoever has it could pass for its owner.

    Raises:
        AccessError: It is.
    """
    owner = key_owners(inventory, reader, read_lock(reader), now=now).get(request.key_fingerprint)
    # People may use one key for two names, which `Signed.others` tells; the cluster shares none of its own.
    if owner is not None and not owner.startswith(REQUEST):
        raise AccessError(
            f"the key of this request is that of {owner}: whoever holds it could pass for that",
            hint="nothing was signed; `pkigen access csr new` makes a request with a key of its own",
        )


def _names_of(key_fingerprint: str, reader: Reader) -> set[str]:
    """The names that a key was certified for, by the ledger."""
    return {
        str(entry["id"]).removeprefix(REQUEST)
        for entry in lines_of(read_ledger(reader), Event.SIGNED)
        if entry.get("spki") == key_fingerprint
    }
