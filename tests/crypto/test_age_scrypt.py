"""What stands in the header of a passphrase's file, and what is refused before any work is done for it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from unittest import mock

import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pkigen.crypto import age_scrypt
from pkigen.crypto.age_header import HeaderError, read_header
from pkigen.crypto.age_scrypt import LARGEST_WORK_FACTOR, NotOpenedError, decrypt, encrypt
from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = "five words that nobody guesses"


def text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


SALT, WRAPPED = text(bytes(16)), text(bytes(32))


def crafted(*stanzas: str) -> bytes:
    return f"age-encryption.org/v1\n{''.join(stanzas)}--- {text(bytes(32))}\n".encode() + bytes(48)


def stanza(salt: str = SALT, factor: str = "1", wrapped: str = WRAPPED) -> bytes:
    return crafted(f"-> scrypt {salt} {factor}\n{wrapped}\n")


def refusal(data: bytes) -> str:
    """Why a file is refused; no work is done for it."""
    with (
        mock.patch.object(age_scrypt, "Scrypt", side_effect=AssertionError),
        pytest.raises(HeaderError) as refused,
    ):
        decrypt(data, WORDS)
    return str(refused.value)


def test_a_file_has_one_stanza_with_its_salt_and_its_work() -> None:
    (found,) = read_header(encrypt(b"content", WORDS)).stanzas
    salt, factor = found.arguments
    assert (found.kind, factor) == ("scrypt", str(age_scrypt.WORK_FACTOR))
    assert (len(base64.b64decode(salt + "==")), len(found.body)) == (16, 32)
    assert LARGEST_WORK_FACTOR == 18


@pytest.mark.parametrize("passphrase", ["", "a", "ж", "a " * 100])
def test_a_passphrase_is_taken_as_it_is(passphrase: str) -> None:
    sealed = encrypt(b"content", passphrase)
    assert decrypt(sealed, passphrase) == b"content"
    with pytest.raises(NotOpenedError):
        decrypt(sealed, f"{passphrase} ")


@pytest.mark.parametrize(
    "data",
    [
        crafted("-> X25519 a\n\n"),
        crafted(f"-> scrypt {SALT} 1\n{WRAPPED}\n", "-> X25519 a\n\n"),
        crafted(*[f"-> scrypt {SALT} 1\n{WRAPPED}\n"] * 2),
    ],
)
def test_a_passphrase_stands_alone(data: bytes) -> None:
    assert refusal(data) == "a passphrase cannot be combined with other recipients"


@pytest.mark.parametrize(
    "data",
    [
        stanza(salt=text(bytes(15))),
        stanza(salt=text(bytes(17))),
        stanza(wrapped=text(bytes(31))),
        stanza(wrapped=text(bytes(33))),
        stanza(factor="0"),
        stanza(factor="01"),
        stanza(factor="+1"),
        stanza(factor="x"),
        stanza(factor="1 1"),
        crafted(f"-> scrypt {SALT}\n{WRAPPED}\n"),
    ],
)
def test_every_part_has_its_size_and_its_form(data: bytes) -> None:
    assert refusal(data) == "its header is damaged"


@pytest.mark.parametrize(("factor", "shown"), [("19", "19"), ("100", "100"), ("9" * 5000, "9999")])
def test_no_more_work_is_done_than_for_our_own(factor: str, shown: str) -> None:
    assert refusal(stanza(factor=factor)) == (
        f"it asks for 2^{shown} of scrypt's work, and no more than 2^18 is done"
    )


@pytest.mark.parametrize(("factor", "size"), [(18, 256), (11, 2), (10, 1), (3, 1)])
def test_where_the_memory_is_not_there_it_is_told_how_much_it_takes(factor: int, size: int) -> None:
    with (
        mock.patch.object(age_scrypt, "Scrypt", side_effect=MemoryError),
        pytest.raises(PkigenError, match="too little memory for the passphrase") as refused,
    ):
        decrypt(stanza(factor=str(factor)), WORDS)
    assert refused.value.hint.startswith(f"it takes {size} MiB,")


def test_a_changed_content_is_not_opened() -> None:
    sealed = encrypt(b"content", WORDS)
    for place in (read_header(sealed).size, len(sealed) - 1):
        other = bytearray(sealed)
        other[place] ^= 1
        with pytest.raises(NotOpenedError):
            decrypt(bytes(other), WORDS)


def test_a_content_without_its_last_chunk_is_not_opened() -> None:
    """Not even where there is no chunk at all: what is empty has one that says so."""
    sealed = encrypt(b"", WORDS)
    begin = read_header(sealed).size + 16
    assert decrypt(sealed, WORDS) == b""
    for end in (begin, begin - 1, begin - 16):
        with pytest.raises(NotOpenedError):
            decrypt(sealed[:end], WORDS)


def test_only_an_empty_content_has_an_empty_last_chunk() -> None:
    """Else one content would have two forms."""

    def with_one_more(data: bytes, key: bytes) -> Iterator[bytes]:
        cipher = ChaCha20Poly1305(key)
        yield cipher.encrypt(bytes(12), data, None)
        yield cipher.encrypt(bytes(10) + b"\1\1", b"", None)

    with mock.patch.object(age_scrypt, "_sealed", with_one_more):
        sealed = encrypt(bytes(1 << 16), WORDS)
    with pytest.raises(NotOpenedError):
        decrypt(sealed, WORDS)
    with pytest.raises(pyrage.DecryptError):
        pyrage.passphrase.decrypt(sealed, WORDS)
