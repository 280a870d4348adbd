"""The text of an age recipient (https://age-encryption.org/v1): an X25519 public key in Bech32 (BIP 173)."""

from __future__ import annotations

import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

_PREFIX: Final = "age"
_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECKSUM_SIZE: Final = 6
# 52 characters of the key and 6 of the checksum.
RECIPIENT: Final = re.compile(f"{_PREFIX}1[{_ALPHABET}]{{58}}")
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_KEY_SIZE: Final = 32
_PADDING: Final = 4  # 52 characters of 5 bits hold 256 bits and this


def recipient_fault(text: str) -> str | None:
    """Why nothing can be sealed to a recipient; None where it can.

    Found before anything is sealed: the library panics for a key of low order, which gives everybody the same
    secret (RFC 7748 6.1).
    """
    if not RECIPIENT.fullmatch(text):
        return "is not an age recipient (age1…)"
    values = [_ALPHABET.index(character) for character in text.removeprefix(f"{_PREFIX}1")]
    if _checksum(values) != 1:
        return "is not an age recipient: a character is wrong or missing"
    number = 0
    for value in values[:-_CHECKSUM_SIZE]:
        number = number << 5 | value
    if number % (1 << _PADDING):
        return "is not an age recipient: its last bits are not zero"
    key = X25519PublicKey.from_public_bytes((number >> _PADDING).to_bytes(_KEY_SIZE, "big"))
    try:
        # Any private key shows it: with a point of low order the result is zero for each of them.
        X25519PrivateKey.generate().exchange(key)
    except ValueError:
        return "is an X25519 key of low order, for which nothing can be sealed"
    return None


def _checksum(values: list[int]) -> int:
    """BIP 173's `bech32_polymod` over prefix and data; 1 where the text is as it was written."""
    prefix = [ord(character) for character in _PREFIX]
    check = 1
    for value in (*(each >> 5 for each in prefix), 0, *(each & 31 for each in prefix), *values):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, mask in enumerate(_GENERATOR):
            check ^= mask if top >> bit & 1 else 0
    return check
