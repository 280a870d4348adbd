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
    with pytest.raises(AuthorityError, match=f"only the offline authority can issue {identifier}") as refused:
        source.delivered(identifier)
    assert "pkigen airgap authority request" in refused.value.hint


@pytest.mark.parametrize(
    ("source", "identifier"), [(ISSUED_HERE, API), (DELIVERY, API), (APPROVED, "cp-2/apiserver")]
)
def test_a_key_that_no_node_has_named_is_not_certified(source: CertificateSource, identifier: str) -> None:
    with pytest.raises(AuthorityError, match=f"only its node can request {identifier}") as refused:
        source.requested_key(identifier)
    assert "pkigen airgap node request" in refused.value.hint


def test_what_it_brings() -> None:
    assert DELIVERY.delivered(API) is ANSWER
    assert APPROVED.requested_key(API) is KEY


class Noted:
    """A staging that writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def stage(self, path: str, mode: int, content: bytes) -> None:
        self.asked.append(("stage", path, mode, content))

    def remove(self, path: str) -> None:
        self.asked.append(("remove", path))

    def record(self, entry: LedgerEntry) -> None:
        self.asked.append(("record", entry))


def asked(source: CertificateSource) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What a source stages before and after all that is made."""
    before, after = Noted(), Noted()
    source.begin(before)  # type: ignore[arg-type]
    source.end(after)  # type: ignore[arg-type]
    return before.asked, after.asked


def test_what_is_issued_here_leaves_nothing_behind() -> None:
    assert asked(ISSUED_HERE) == ([], [])
    assert not ISSUED_HERE.reuses_keys


def test_an_answer_is_accepted_once_and_that_is_on_record() -> None:
    delivery = Delivery(
        certificates={}, spent="pki/pending.json", entry=ENTRY, files={"pki/authority.pin": b"1"}
    )
    assert asked(delivery) == (
        [],
        [("stage", "pki/authority.pin", 0o644, b"1"), ("remove", "pki/pending.json"), ("record", ENTRY)],
    )


def test_who_was_let_in_is_on_record_before_what_was_issued_for_it() -> None:
    assert asked(APPROVED) == ([("record", ENTRY)], [])


def test_no_key_is_shown() -> None:
    shown = repr(Delivered(certificate=b"1", key=b"the key"))
    assert shown == "Delivered(certificate=b'1')"
    files = {"a": b"the key"}
    assert "the key" not in repr(Delivery(certificates={}, spent="", entry=ENTRY, files=files))
