"""Whom nothing can be sealed to, found without the library that would panic."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

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


def bech32(prefix: str, number: int, size: int) -> str:
    """BIP 173's text of a number of so many characters."""
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    data = [number >> 5 * (size - 1 - place) & 31 for place in range(size)]
    check = 1
    for value in (
        *(ord(each) >> 5 for each in prefix),
        0,
        *(ord(each) & 31 for each in prefix),
        *data,
        *[0] * 6,
    ):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, mask in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= mask if top >> bit & 1 else 0
    checksum = [(check ^ 1) >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(alphabet[each] for each in (*data, *checksum))}"


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_bits_that_are_of_no_octet_are_zero(bits: int) -> None:
    """Else one key would have sixteen texts."""
    key = int.from_bytes(X25519PrivateKey.generate().public_key().public_bytes_raw()) << 4
    assert recipient_fault(bech32("age", key, 52)) is None
    fault = "is not an age recipient: its last bits are not zero"
    assert recipient_fault(bech32("age", key | bits, 52)) == fault


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
