"""Sealing with age (https://age-encryption.org/v1): for one recipient, or with a passphrase."""

from __future__ import annotations

import base64
import re
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

import pyrage

from pkigen.crypto import age_scrypt
from pkigen.crypto.age_header import Header, HeaderError, read_header
from pkigen.crypto.age_recipient import recipient_fault
from pkigen.errors import BundleError, UsageError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_COLUMNS: Final = 64  # RFC 7468 2, which age's armor follows

# Bech32 (BIP 173) of a 32-byte X25519 key; the alphabet is without 1, b, i and o.
_IDENTITY = re.compile(r"AGE-SECRET-KEY-1[AC-HJ-NP-Z02-9]{58}")
# In characters. It guards a file that can be carried away, so nobody limits the guesses.
SHORTEST_PASSPHRASE = 12


class Seal(Protocol):
    """Encrypts bytes for one reader."""

    @property
    def reader(self) -> str:
        """Who can open them: a recipient's public key, or `passphrase`."""
        ...

    def close(self, data: bytes) -> bytes:
        """The age file."""
        ...


class Unseal(Protocol):
    """Decrypts what a `Seal` has encrypted."""

    def open(self, sealed: bytes) -> bytes:
        """The bytes.

        Raises:
            BundleError: They were closed for somebody else, or are damaged.
        """
        ...


@dataclass(frozen=True, slots=True)
class Recipient:
    """The public half of an age key.

    Raises:
        UsageError: Nothing can be sealed to it.
    """

    text: str

    def __post_init__(self) -> None:
        fault = recipient_fault(self.text)
        if fault is not None:
            raise UsageError(f"{self.text!r} {fault}", hint="`pkigen airgap node identity` makes one")

    @property
    def reader(self) -> str:
        """The public key itself."""
        return self.text

    def close(self, data: bytes) -> bytes:
        """The age file (X25519)."""
        return close_for((self,), data)


@dataclass(frozen=True, slots=True)
class Identity:
    """The private half of a node's age key."""

    text: str = field(repr=False)

    @classmethod
    def of_file(cls, content: bytes, name: str) -> Identity:
        """Read a file as `age-keygen` and `pkigen airgap node identity` write it.

        Raises:
            UsageError: There is no X25519 identity in it, or more than one.
        """
        lines = content.decode("ascii", "replace").splitlines()
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        # Two identities would be two hosts' files in one: which of them a bundle is for must not be a guess.
        if len(found) != 1 or not _IDENTITY.fullmatch(found[0]):
            raise UsageError(
                f"{name} is not a file with one age identity", hint="`pkigen airgap node identity` makes one"
            )
        return cls(found[0])

    @classmethod
    def generate(cls) -> Identity:
        """A new one."""
        return cls(str(pyrage.x25519.Identity.generate()))

    @property
    def recipient(self) -> Recipient:
        """The public half."""
        return Recipient(str(self._key().to_public()))

    def open(self, sealed: bytes) -> bytes:
        """What was closed for this identity.

        Raises:
            BundleError: It is sealed with a passphrase or to somebody else, or is damaged.
        """
        # Asked first: the library would say no more than that no identity fits.
        if _header(sealed).is_for_passphrase:
            raise BundleError("it is sealed with a passphrase, not to an identity")
        try:
            return pyrage.decrypt(sealed, [self._key()])
        except pyrage.DecryptError:
            raise BundleError(
                "it is not sealed to this host's identity, or its content is damaged",
                hint="compare the recipient that `pkigen airgap bundle inspect` shows with the host's own",
            ) from None

    def _key(self) -> pyrage.x25519.Identity:
        """The library's form; raises `UsageError`, which never quotes it, where the checksum is wrong."""
        try:
            return pyrage.x25519.Identity.from_str(self.text)
        except pyrage.IdentityError:
            raise UsageError("the age identity is damaged: its checksum is wrong") from None


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, stretched by scrypt (2^18, always: a guess costs about a second)."""

    text: str = field(repr=False)

    @property
    def reader(self) -> str:
        """Shown as `passphrase`: everybody who knows it can read."""
        return "passphrase"

    def close(self, data: bytes) -> bytes:
        """The age file (scrypt)."""
        return age_scrypt.encrypt(data, self.text)

    def open(self, sealed: bytes) -> bytes:
        """What was closed with this passphrase.

        Raises:
            BundleError: It is sealed to an identity, with another passphrase, or is damaged.
        """
        if not _header(sealed).is_for_passphrase:
            raise BundleError("it is sealed to an identity, not with a passphrase")
        try:
            return age_scrypt.decrypt(sealed, self.text)
        except HeaderError as error:
            raise _unfit(error) from None
        except age_scrypt.NotOpenedError:
            raise BundleError("the passphrase is wrong, or its content is damaged") from None


def close_for(recipients: Iterable[Recipient], data: bytes) -> bytes:
    """An age file that any of these can open."""
    return pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(each.text) for each in recipients])


def armored(sealed: bytes) -> str:
    """An age file as text, which age and SOPS read like the binary form."""
    text = base64.b64encode(sealed).decode("ascii")
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    begin, end = (f"-----{word} AGE ENCRYPTED FILE-----" for word in ("BEGIN", "END"))
    return "\n".join([begin, *lines, end, ""])


def _header(sealed: bytes) -> Header:
    """The header, read before any library sees the file; raises `BundleError` for one not accepted."""
    try:
        return read_header(sealed)
    except HeaderError as error:
        raise _unfit(error) from None


def _unfit(error: HeaderError) -> BundleError:
    """A refusal before anything was computed: what the header asks for may cost a lot."""
    return BundleError(
        f"{error}", hint="it was changed on the way, or pkigen has not made it; nothing was computed from it"
    )
