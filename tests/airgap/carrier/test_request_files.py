"""Files of requests and of certificates: one form, signed, and whatever differs from it is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.airgap.carrier.envelope import unwrap, wrap
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.requests import (
    AnswerSet,
    Purpose,
    RequestSet,
    open_envelope,
    read_answers,
    read_requests,
    write_answers,
    write_requests,
)
from pkigen.crypto.age import Identity
from pkigen.errors import BundleError
from tests.samples import NOW

KEY = BundleKey(seed=bytes(range(32)))
PIN = fingerprint(KEY.public)
PEM = b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB+/=\n-----END CERTIFICATE REQUEST-----\n"
SET = RequestSet(
    purpose=Purpose.NODE,
    cluster="prod",
    origin="worker-1",
    created=NOW,
    nonce="0123456789abcdef" * 2,
    recipient=Identity.generate().recipient.text,
    requests=(("worker-1/kubelet-serving", PEM), ("worker-1/kubelet.conf", PEM)),
)
ANSWER = AnswerSet(
    cluster="prod",
    origin="site",
    created=NOW,
    nonce=SET.nonce,
    certificates=(("ca", PEM.replace(b" REQUEST", b"") * 2), ("user:dev one", PEM)),
)


def test_a_round_trip() -> None:
    data = write_requests(SET, KEY)
    assert data == write_requests(SET, KEY)
    envelope = open_envelope(data, kind=BundleKind.REQUEST, pin=PIN)
    assert read_requests(envelope) == SET
    assert envelope.label.expires - NOW == timedelta(days=30)
    assert envelope.label.reader == "everybody"
    data = write_answers(ANSWER, KEY)
    assert read_answers(open_envelope(data, kind=BundleKind.ANSWER, pin=PIN)) == ANSWER


def test_another_kind_is_refused() -> None:
    with pytest.raises(BundleError, match="of kind answer, not request"):
        open_envelope(write_answers(ANSWER, KEY), kind=BundleKind.REQUEST, pin=PIN)
    with pytest.raises(BundleError, match="list of requests is not in pkigen's canonical form"):
        read_requests(unwrap(wrap(SET.label, b"{}", KEY), pin=PIN))


def test_outside_and_inside_agree() -> None:
    body = unwrap(write_requests(SET, KEY), pin=PIN).sealed
    other = RequestSet(
        purpose=SET.purpose,
        cluster="prod",
        origin="worker-2",
        created=NOW,
        nonce=SET.nonce,
        recipient=None,
        requests=(),
    )
    with pytest.raises(BundleError, match="label and content differ"):
        read_requests(unwrap(wrap(other.label, body, KEY), pin=PIN))


CHANGES = [
    (b'"purpose": "node"', b'"purpose": "other"'),
    (b'"cluster": "prod"', b'"cluster": "pr\\u0007od"'),
    (b'"nonce": "01', b'"nonce": "0x'),
    (b'"recipient": "age1', b'"recipient": "age2'),
    (b"worker-1/kubelet.conf", b"worker-1/kubelet-serving"),
    (b"worker-1/kubelet.conf", b"a"),
    (b"worker-1/kubelet.conf", b"worker-1/z\\u0007"),
    (b"MIIB+", b"MIIB\\u00e4"),
    (b"MIIB+", b"MIIB" * (1 << 15)),
    (b'"nonce"', b'"nonce": "", "nonce"'),
    (b'"requests": [', b'"more": 1,\n "requests": ['),
    (b"\n ", b"\n  "),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_one_form_only(old: bytes, new: bytes) -> None:
    body = unwrap(write_requests(SET, KEY), pin=PIN).sealed
    assert old in body
    changed = body.replace(old, new, 1) if old != b"worker-1/kubelet.conf" else body.replace(old, new)
    with pytest.raises(BundleError, match="list of requests is not in pkigen's canonical form"):
        read_requests(unwrap(wrap(SET.label, changed, KEY), pin=PIN))


def test_a_flipped_bit() -> None:
    good = write_requests(SET, KEY)
    for place in range(0, len(good), 7):
        changed = bytearray(good)
        changed[place] ^= 4
        with pytest.raises(BundleError):
            open_envelope(bytes(changed), kind=BundleKind.REQUEST, pin=PIN)
