"""Whom nothing can be sealed to, found without the library that would panic."""

from __future__ import annotations

import pytest

from pkigen.crypto.age import Identity, Recipient
from pkigen.crypto.age_recipient import recipient_fault
from pkigen.errors import UsageError

# age's own test vectors (C2SP CCTV, x25519) have the same points as shares; here they stand in Bech32.
LOW_ORDER = {
    "0": "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "1": "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",
    "p": "age1ahlllllllllllllllllllllllllllllllllllllllllllllllalsn46ayy",
}


def test_what_age_itself_makes_is_sealed_to() -> None:
    for _ in range(20):
        identity = Identity.generate()
        assert recipient_fault(identity.recipient.text) is None
        assert identity.open(identity.recipient.close(b"content")) == b"content"


@pytest.mark.parametrize("text", LOW_ORDER.values(), ids=LOW_ORDER.keys())
def test_keys_of_low_order(text: str) -> None:
    assert "low order" in (recipient_fault(text) or "")
    with pytest.raises(UsageError, match="low order"):
        Recipient(text)


def test_every_wrong_character_is_found() -> None:
    good = Identity.generate().recipient.text
    for place in range(len("age1"), len(good)):
        wrong = good[:place] + ("q" if good[place] != "q" else "p") + good[place + 1 :]
        assert recipient_fault(wrong) == "is not an age recipient: a character is wrong or missing"
    for wrong in (
        good.upper(),
        good[:-1],
        f"{good}q",
        good[1:],
        "",
        f"{good}\n",
        good.replace("age1", "agf1"),
    ):
        assert recipient_fault(wrong) == "is not an age recipient (age1…)"
