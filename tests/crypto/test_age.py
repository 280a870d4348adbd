"""What a passphrase seals: by the specification, with an amount of work that no busy machine lowers."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
import tracemalloc

import pyrage
import pytest

from pkigen.crypto import age_scrypt
from pkigen.crypto.age import (
    SHORTEST_PASSPHRASE,
    Identity,
    Passphrase,
    Recipient,
    armored,
    close_for,
)
from pkigen.crypto.age_header import LARGEST_HEADER, is_passphrase_sealed, read_header
from pkigen.errors import BundleError, UsageError

WORDS = "five words that nobody guesses"
CHUNK = 1 << 16
# Seconds of this process's own work, which others on the machine hardly add to; scrypt at 2^23 takes thirty.
AT_ONCE = 5


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
        with pytest.raises(BundleError):
            Passphrase(WORDS).open(bytes(data))
        flipped += 1
    assert flipped * every > 1000


def test_the_work_is_what_is_promised() -> None:
    """In a process of its own: in this one the tests have it reduced."""
    command = (
        "import sys; from pkigen.crypto.age import Passphrase; "
        f"sys.stdout.buffer.write(Passphrase({WORDS!r}).close(b''))"
    )
    sealed = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout
    assert sealed.split(b"\n")[1].endswith(b" 18")
    assert Passphrase(WORDS).open(sealed) == b""
    assert age_scrypt.WORK_FACTOR < 18


# -- what others have written -------------------------------------------------------------------------


def text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


SALT, WRAPPED, MAC = text(bytes(16)), text(bytes(32)), text(bytes(32))
SCRYPT = f"-> scrypt {SALT} 18\n{WRAPPED}\n"
X25519 = f"-> X25519 {text(bytes(range(32)))}\n{WRAPPED}\n"


def crafted(*stanzas: str) -> bytes:
    return f"age-encryption.org/v1\n{''.join(stanzas)}--- {MAC}\n".encode() + bytes(48)


BY_RAGE = """\
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBkUWRWSHQ1TE1mV2JwRVErbHhWaVFRIDExCjMzM3VUYzR5UGFwaXdqWWlu
WGVRNFdSMDF1c05ZWlhMc1pjRkVZeFpXRjQKLS0tIFJNcmw4Nkh2NUw4Y2JObkJTdWVNQkUyRFdaYW9aR2pJQk1CbXRyWnRkSlkK
AFDPAZ31CwaBpXXtqAlXXf7+MKqjTLMlVNRCYdYwXJB6NKmzx00DdQOZa8snj2A="""
"""What pyrage made of `written by rage` on a busy machine, on which 2^11 took it a second."""


def test_what_another_implementation_writes_is_read() -> None:
    sealed = base64.b64decode(BY_RAGE)
    assert Passphrase(WORDS).open(sealed) == pyrage.passphrase.decrypt(sealed, WORDS) == b"written by rage"


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_every_size_comes_back(size: int) -> None:
    data = os.urandom(size)
    assert Passphrase(WORDS).open(Passphrase(WORDS).close(data)) == data


@pytest.mark.parametrize("cut", [1, 16, CHUNK, CHUNK + 16, CHUNK + 17])
def test_a_file_that_was_cut_off_or_lengthened_is_not_opened(cut: int) -> None:
    sealed = Passphrase(WORDS).close(os.urandom(2 * CHUNK))
    for other in (sealed[:-cut], sealed + bytes(cut)):
        with pytest.raises(BundleError, match="its content is damaged"):
            Passphrase(WORDS).open(other)


@pytest.mark.parametrize("factor", ["19", "20", "22", "23", "30", "63", "64", "99", "1" + "0" * 60])
def test_more_work_than_ours_is_refused_before_any_is_done(factor: str) -> None:
    sealed = crafted(f"-> scrypt {SALT} {factor}\n{WRAPPED}\n")
    begun = time.process_time()
    tracemalloc.start()
    with pytest.raises(
        BundleError, match=r"asks for 2\^\d+ of scrypt's work, and no more than 2\^18 is done"
    ):
        Passphrase(WORDS).open(sealed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (time.process_time() - begun < AT_ONCE, peak < 1 << 20) == (True, True)


def test_our_own_amount_is_still_done() -> None:
    """The control: this one fails for its passphrase, after the work."""
    with pytest.raises(BundleError, match="passphrase is wrong"):
        Passphrase(WORDS).open(crafted(SCRYPT))


DAMAGED = {
    "no stanza": crafted(),
    "two passphrases": crafted(SCRYPT, SCRYPT),
    "a passphrase beside a recipient": crafted(SCRYPT, X25519),
    "a recipient before a passphrase": crafted(X25519, SCRYPT),
    "an unknown one before a passphrase": crafted("-> x-grease a b\n\n", SCRYPT),
    "work of zero": crafted(f"-> scrypt {SALT} 0\n{WRAPPED}\n"),
    "work with a sign": crafted(f"-> scrypt {SALT} +18\n{WRAPPED}\n"),
    "work with a zero before": crafted(f"-> scrypt {SALT} 018\n{WRAPPED}\n"),
    "no work": crafted(f"-> scrypt {SALT}\n{WRAPPED}\n"),
    "an argument more": crafted(f"-> scrypt {SALT} 18 18\n{WRAPPED}\n"),
    "a short salt": crafted(f"-> scrypt AAAA 18\n{WRAPPED}\n"),
    "a salt of no base64": crafted(f"-> scrypt {SALT[:-1]}! 18\n{WRAPPED}\n"),
    "a salt with padding bits": crafted(f"-> scrypt {SALT[:-1]}B 18\n{WRAPPED}\n"),
    "a short body": crafted(f"-> scrypt {SALT} 18\nAAAA\n"),
    "a body of one character": crafted(f"-> scrypt {SALT} 18\nA\n"),
    "two spaces": crafted(f"-> scrypt  {SALT} 18\n{WRAPPED}\n"),
    "line ends of another system": crafted(SCRYPT).replace(b"\n", b"\r\n"),
    "no end": crafted(SCRYPT).partition(b"---")[0],
    "nothing": b"",
    "another version": crafted(SCRYPT).replace(b"/v1", b"/v2"),
    "armored": b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n",
    "many stanzas": crafted(*["-> x y\n\n"] * 500_000),
    "many arguments": crafted("-> x" + " y" * 1_000_000 + "\n\n"),
    "a long body": crafted("-> x y\n" + ("A" * 64 + "\n") * 100_000 + "\n"),
    "an endless line": b"age-encryption.org/v1\n-> " + b"x" * (16 << 20),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_whatever_a_header_holds_it_is_refused_at_once(kind: str) -> None:
    begun = time.process_time()
    for reader in (Passphrase(WORDS), Identity.generate()):
        with pytest.raises(BundleError):
            reader.open(DAMAGED[kind])
    assert time.process_time() - begun < AT_ONCE


def test_a_header_of_the_largest_size_is_read() -> None:
    fitting = crafted(*[X25519] * ((LARGEST_HEADER - 80) // len(X25519)))
    assert len(read_header(fitting).stanzas) > 50
    begun = time.process_time()
    with pytest.raises(BundleError, match="not sealed to this host"):
        Identity.generate().open(fitting)
    assert time.process_time() - begun < AT_ONCE


def test_several_recipients_are_each_able_to_open() -> None:
    """The control of the refusals: what `age -r A -r B` makes stays readable."""
    identities = [Identity.generate() for _ in range(3)]
    keys = [pyrage.x25519.Recipient.from_str(each.recipient.text) for each in identities]
    sealed = pyrage.encrypt(b"content", keys)
    assert [each.open(sealed) for each in identities] == [b"content"] * 3


SCARCE = """
import resource, sys
from pkigen.crypto.age import Passphrase
from pkigen.errors import PkigenError
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
try:
    Passphrase("five words that nobody guesses").open(sys.stdin.buffer.read())
except PkigenError as error:
    print(error.message, error.hint)
"""


def test_a_machine_without_the_memory_is_told_so() -> None:
    command = [sys.executable, "-c", SCARCE]
    done = subprocess.run(command, input=crafted(SCRYPT), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"too little memory for the passphrase it takes 256 MiB" in done.stdout


# -- identities and recipients --------------------------------------------------------------------------


def test_what_is_closed_for_several_is_opened_by_each_and_by_nobody_else() -> None:
    first, second, other = (Identity.generate() for _ in range(3))
    sealed = close_for((first.recipient, second.recipient), b"content")
    assert (first.open(sealed), second.open(sealed)) == (b"content", b"content")
    alone = first.recipient.close(b"alone")
    assert first.open(alone) == b"alone"
    for identity, file in ((other, sealed), (second, alone)):
        with pytest.raises(BundleError, match="not sealed to this host's identity"):
            identity.open(file)
    assert first.recipient.reader == first.recipient.text
    assert Passphrase(WORDS).reader == "passphrase"
    assert not is_passphrase_sealed(sealed)


def test_what_is_closed_otherwise_says_how() -> None:
    identity = Identity.generate()
    with pytest.raises(BundleError, match="sealed with a passphrase, not to an identity"):
        identity.open(Passphrase(WORDS).close(b""))
    with pytest.raises(BundleError, match="sealed to an identity, not with a passphrase"):
        Passphrase(WORDS).open(identity.recipient.close(b""))


@pytest.mark.parametrize("text", ["", "age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1"])
def test_nothing_is_sealed_to_what_is_no_recipient(text: str) -> None:
    with pytest.raises(UsageError) as found:
        Recipient(text)
    assert found.value.message.startswith(repr(text))


def test_an_identity_is_read_as_age_keygen_writes_it() -> None:
    identity = Identity.generate()
    content = f"# created: 2026-11-22\n# public key: {identity.recipient.text}\n\n{identity.text}\n"
    for each in (content, identity.text, f"\n {identity.text} \r\n#"):
        assert Identity.of_file(each.encode(), "x") == identity


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        "{own}\n{own}\n",
        "{own}\n{other}\n",
        "{own}\nmore\n",
        "{own}Q\n",
        "Q{own}\n",
        "{small}\n",
        "# {own}\n",
        "age1\n",
        "\xff{own}\n",
    ],
)
def test_a_file_with_more_or_less_than_one_identity_is_none(content: str) -> None:
    own, other = (Identity.generate().text for _ in range(2))
    text = content.replace("{own}", own).replace("{other}", other).replace("{small}", own.lower())
    with pytest.raises(UsageError, match="x is not a file with one age identity"):
        Identity.of_file(text.encode("latin-1"), "x")


def test_a_mistyped_identity_is_told_without_being_quoted() -> None:
    text = Identity.generate().text
    other = text[:-1] + ("Q" if text[-1] != "Q" else "P")
    identity = Identity.of_file(other.encode(), "x")
    with pytest.raises(UsageError, match="its checksum is wrong") as found:
        _ = identity.recipient
    assert other not in f"{found.value.message}{found.value.hint}"


def test_secrets_are_not_shown() -> None:
    identity = Identity.generate()
    assert identity.text not in repr(identity)
    assert WORDS not in repr(Passphrase(WORDS))
    assert SHORTEST_PASSPHRASE == 12, "what docs promise"


@pytest.mark.parametrize("size", [1, 48, 49, 200])
def test_armor_is_the_text_that_age_reads(size: int) -> None:
    sealed = bytes(range(size))
    begin, *lines, end, last = armored(sealed).split("\n")
    assert (begin, end, last) == (
        "-----BEGIN AGE ENCRYPTED FILE-----",
        "-----END AGE ENCRYPTED FILE-----",
        "",
    )
    assert base64.b64decode("".join(lines)) == sealed
    assert [len(line) for line in lines[:-1]] == [64] * (len(lines) - 1)
    assert 0 < len(lines[-1]) <= 64
