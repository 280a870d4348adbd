"""What a passphrase seals: by the specification, with an amount of work that no busy machine lowers."""

from __future__ import annotations

import os

import pyrage
import pytest

from pkigen.crypto import age_scrypt
from pkigen.crypto.age import Passphrase, is_passphrase_sealed
from pkigen.errors import BundleError

WORDS = "five words that nobody guesses"
CHUNK = 1 << 16


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form does not depend on how much work it is."""
    monkeypatch.setattr(age_scrypt, "WORK_FACTOR", 10)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_another_implementation_reads_what_is_written(size: int) -> None:
    data = os.urandom(size)
    assert pyrage.passphrase.decrypt(age_scrypt.encrypt(data, WORDS), WORDS) == data


def test_the_same_content_never_gives_the_same_file() -> None:
    files = [age_scrypt.encrypt(b"content", WORDS) for _ in range(20)]
    assert len(set(files)) == len({file[-40:] for file in files}) == 20


def test_another_passphrase_opens_nothing() -> None:
    sealed = Passphrase(WORDS).close(b"content")
    assert is_passphrase_sealed(sealed)
    assert Passphrase(WORDS).open(sealed) == b"content"
    for other in (WORDS.upper(), WORDS + " ", WORDS[:-1], "ж" + WORDS):
        with pytest.raises(BundleError, match="passphrase is wrong"):
            Passphrase(other).open(sealed)


def test_any_flipped_bit_is_refused() -> None:
    sealed = Passphrase(WORDS).close(b"content")
    every = 1 if os.environ.get("PKIGEN_FAULTS") == "all" else 5
    flipped = 0
    for position in range(0, len(sealed) * 8, every):
        data = bytearray(sealed)
        data[position // 8] ^= 1 << position % 8
        if b"-> scrypt" in data and data[:80].split(b"\n")[1][-2:] > b"10":
            continue  # another amount of work: refused too, after doing it
        with pytest.raises(BundleError):
            Passphrase(WORDS).open(bytes(data))
        flipped += 1
    assert flipped * every > 1000


def test_the_work_is_what_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert age_scrypt.WORK_FACTOR == 18
    assert Passphrase(WORDS).close(b"content").split(b"\n")[1].endswith(b" 18")
