"""Writes age files for a passphrase with a fixed scrypt work factor; pyrage or `age` reads them.

pyrage, like `age`, measures at run time how much work takes a second. On a busy machine that gave 2^16, a
quarter of what a passphrase needs that protects a file on a carried medium. So the header is written here,
by the specification (https://age-encryption.org/v1), with primitives of `cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK_FACTOR = 18
"""log2 of scrypt's N; with r = 8 a guess takes 256 MiB and, on ordinary machines, about a second."""

_KEY_SIZE, _RANDOM_SIZE = 32, 16
_CHUNK = 1 << 16
_INTRODUCTION = b"age-encryption.org/v1\n"
_SALT_LABEL = b"age-encryption.org/v1/scrypt"
_NO_NONCE = bytes(12)  # every key here encrypts one thing only


def encrypt(data: bytes, passphrase: str) -> bytes:
    """The age file that a passphrase, taken as it is in UTF-8, opens."""
    file_key, salt, nonce = _random(), _random(), _random()
    stretched = Scrypt(salt=_SALT_LABEL + salt, length=_KEY_SIZE, n=1 << WORK_FACTOR, r=8, p=1).derive(
        passphrase.encode()
    )
    wrapped = ChaCha20Poly1305(stretched).encrypt(_NO_NONCE, file_key, None)
    stanza = f"-> scrypt {_text(salt)} {WORK_FACTOR}\n{_text(wrapped)}\n".encode()
    header = _INTRODUCTION + stanza + b"---"
    mac = hmac.digest(_derived(file_key, salt=b"", info=b"header"), header, hashlib.sha256)
    payload = b"".join(_stream(data, _derived(file_key, salt=nonce, info=b"payload")))
    return b"".join((header, b" ", _text(mac).encode(), b"\n", nonce, payload))


def _stream(data: bytes, key: bytes) -> Iterator[bytes]:
    """64 KiB at a time; the nonce counts the chunks and says which is the last (STREAM)."""
    cipher = ChaCha20Poly1305(key)
    last = max(len(data) - 1, 0) // _CHUNK
    for number in range(last + 1):
        nonce = number.to_bytes(11, "big") + bytes([number == last])
        yield cipher.encrypt(nonce, data[number * _CHUNK : (number + 1) * _CHUNK], None)


def _derived(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_SIZE, salt=salt, info=info).derive(key)


def _random() -> bytes:
    """A file key, a salt or a nonce; from the library, as private keys are."""
    return ChaCha20Poly1305.generate_key()[:_RANDOM_SIZE]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
