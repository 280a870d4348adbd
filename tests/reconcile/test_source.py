"""What a source of certificates brings, what it refuses, and what it leaves in the staged tree."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.errors import AuthorityError
from pkigen.reconcile.source import ISSUED_HERE, ApprovedKeys, CertificateSource, Delivered, Delivery
from pkigen.state.ledger import Event, LedgerEntry

API = "cp-1/apiserver"
ENTRY = LedgerEntry(event=Event.ANSWERED, id="request:1", reason=None, facts={})
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
ANSWER = Delivered(certificate=b"PEM", key=None)
DELIVERY = Delivery(certificates={API: ANSWER}, spent="pki/pending.json", entry=ENTRY)
APPROVED = ApprovedKeys(keys={API: KEY}, entries=(ENTRY,))


@pytest.mark.parametrize(
    ("source", "identifier"), [(ISSUED_HERE, API), (DELIVERY, "cp-2/apiserver"), (APPROVED, API)]
)
def test_what_was_not_delivered_only_the_offline_authority_can_issue(
    source: CertificateSource, identifier: str
) -> None:
    with pytest.raises(AuthorityError, match=f"only the offline authority can issue {identifier}"):
        source.delivered(identifier)


@pytest.mark.parametrize(
    ("source", "identifier"), [(ISSUED_HERE, API), (DELIVERY, API), (APPROVED, "cp-2/apiserver")]
)
def test_a_key_that_no_node_has_named_is_not_certified(source: CertificateSource, identifier: str) -> None:
    with pytest.raises(AuthorityError, match=f"only its node can request {identifier}"):
        source.requested_key(identifier)


def test_what_it_brings() -> None:
    assert DELIVERY.delivered(API) is ANSWER
    assert APPROVED.requested_key(API) is KEY
