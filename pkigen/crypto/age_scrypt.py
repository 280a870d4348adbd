"""Age files for a passphrase: written with a fixed scrypt work factor, read only up to that factor.

pyrage, like `age`, measures at run time how much work takes a second. On a busy machine that gave 2^16, a
quarter of what a passphrase needs that protects a file on a carried medium. When it reads, it does the work
that the file asks for: 2^23 takes 8 GiB, and the process aborts without an error that could be shown. So both
is done here, by the specification (https://age-encryption.org/v1), with primitives of `cryptography`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pkigen.crypto.age_header import INTRODUCTION, SCRYPT, HeaderError, decoded, encoded, read_header
from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.crypto.age_header import Header

WORK_FACTOR = 18
"""log2 of scrypt's N; with r = 8 a guess takes 256 MiB and, on ordinary machines, about a second."""
LARGEST_WORK_FACTOR = 18
"""The most that a file may ask for: each one more doubles the memory that it takes from whoever opens it."""

_KEY_SIZE, _RANDOM_SIZE, _TAG_SIZE = 32, 16, 16
_CHUNK = 1 << 16
# The label is part of the salt, so that a passphrase gives other keys in other protocols.
_SALT_LABEL = b"age-encryption.org/v1/scrypt"
_NO_NONCE = bytes(12)  # every key here encrypts one thing only
# Without leading zeros, which would be other spellings of one header.
_FACTOR = re.compile(r"[1-9][0-9]*")


class NotOpenedError(Exception):
    """The passphrase is another, or the file was changed."""


def encrypt(data: bytes, passphrase: str) -> bytes:
    """The age file that a passphrase, taken as it is in UTF-8, opens."""
    file_key, salt, nonce = _random(), _random(), _random()
    wrapped = ChaCha20Poly1305(_stretched(passphrase, salt, WORK_FACTOR)).encrypt(_NO_NONCE, file_key, None)
    stanza = f"-> {SCRYPT} {encoded(salt)} {WORK_FACTOR}\n{encoded(wrapped)}\n".encode()
    header = INTRODUCTION + stanza + b"---"
    payload = b"".join(_sealed(data, _payload_key(file_key, nonce)))
    return b"".join((header, b" ", encoded(_mac(file_key, header)).encode(), b"\n", nonce, payload))


def decrypt(data: bytes, passphrase: str) -> bytes:
    """What `encrypt`, or another implementation, has sealed with a passphrase.

    Raises:
        HeaderError: It is no such file, or asks for more work than is done for it.
        NotOpenedError: It does not open.
    """
    header = read_header(data)
    salt, factor, wrapped = _for_passphrase(header)
    try:
        file_key = ChaCha20Poly1305(_stretched(passphrase, salt, factor)).decrypt(_NO_NONCE, wrapped, None)
        if not hmac.compare_digest(_mac(file_key, header.covered), header.mac):
            raise NotOpenedError
        nonce, payload = data[header.size :][:_RANDOM_SIZE], data[header.size + _RANDOM_SIZE :]
        return b"".join(_opened(payload, _payload_key(file_key, nonce)))
    except InvalidTag:
        raise NotOpenedError from None


def _for_passphrase(header: Header) -> tuple[bytes, int, bytes]:
    """Salt, amount of work and wrapped file key of a header that has a passphrase's stanza, and no other.

    Raises:
        HeaderError: It has other stanzas, is damaged, or asks for more work than is done.
    """
    if len(header.stanzas) != 1 or not header.is_for_passphrase:
        raise HeaderError("a passphrase cannot be combined with other recipients")
    (stanza,) = header.stanzas
    salt, factor = stanza.arguments if len(stanza.arguments) == 2 else ("", "")  # noqa: PLR2004 -- these two
    random = decoded(salt.encode())
    if len(random) != _RANDOM_SIZE or len(stanza.body) != _RANDOM_SIZE + _TAG_SIZE:
        raise HeaderError("its header is damaged")
    if not _FACTOR.fullmatch(factor):
        raise HeaderError("its header is damaged")
    # By its length first: `int` raises for a text of thousands of digits.
    if len(factor) > len(str(LARGEST_WORK_FACTOR)) or int(factor) > LARGEST_WORK_FACTOR:
        raise HeaderError(
            f"it asks for 2^{factor[:4]} of scrypt's work, and no more than 2^{LARGEST_WORK_FACTOR} is done"
        )
    return random, int(factor), stanza.body


def _stretched(passphrase: str, salt: bytes, factor: int) -> bytes:
    """The key that wraps the file key; `PkigenError` where scrypt's memory (1 KiB times N) is not there."""
    try:
        return Scrypt(salt=_SALT_LABEL + salt, length=_KEY_SIZE, n=1 << factor, r=8, p=1).derive(
            passphrase.encode()
        )
    # OpenSSL's allocation fails, not Python's: the process is sound, and the person can be told how much is
    # wanted.
    except MemoryError:
        raise PkigenError(
            "there is too little memory for the passphrase",
            hint=f"it takes {1 << max(factor - 10, 0)} MiB, as does each guess of somebody else",
        ) from None


def _sealed(data: bytes, key: bytes) -> Iterator[bytes]:
    """64 KiB at a time; the nonce counts the chunks and says which is the last (STREAM)."""
    cipher = ChaCha20Poly1305(key)
    # Empty data is one empty chunk: a payload without a last chunk would be one that was cut off.
    last = max(len(data) - 1, 0) // _CHUNK
    for number in range(last + 1):
        chunk = data[number * _CHUNK : (number + 1) * _CHUNK]
        yield cipher.encrypt(_nonce(number, is_last=number == last), chunk, None)


def _opened(payload: bytes, key: bytes) -> Iterator[bytes]:
    """The same backwards; only an empty content has an empty last chunk.

    Raises:
        NotOpenedError: The last chunk is empty, and not the only one.
        InvalidTag: A chunk was changed, moved, dropped or cut off.
    """
    cipher = ChaCha20Poly1305(key)
    size = _CHUNK + _TAG_SIZE
    last = max(len(payload) - 1, 0) // size
    for number in range(last + 1):
        chunk = cipher.decrypt(
            _nonce(number, is_last=number == last), payload[number * size : (number + 1) * size], None
        )
        if number and not chunk:
            raise NotOpenedError
        yield chunk


def _nonce(number: int, *, is_last: bool) -> bytes:
    """Eleven octets count the chunks, the twelfth marks the last: none can be moved, dropped or cut off."""
    return number.to_bytes(11, "big") + bytes([is_last])


def _mac(file_key: bytes, header: bytes) -> bytes:
    """HMAC over the header up to its `---`, under a key derived from the file key alone."""
    return hmac.digest(_derived(file_key, salt=b"", info=b"header"), header, hashlib.sha256)


def _payload_key(file_key: bytes, nonce: bytes) -> bytes:
    """A key for this payload only: the file's nonce is the salt, so the chunks can count from zero."""
    return _derived(file_key, salt=nonce, info=b"payload")


def _derived(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_SIZE, salt=salt, info=info).derive(key)


def _random() -> bytes:
    """A file key, a salt or a nonce; from the library, as private keys are."""
    return ChaCha20Poly1305.generate_key()[:_RANDOM_SIZE]
