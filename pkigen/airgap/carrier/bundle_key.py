"""The cluster's bundle key (Ed25519), and the fingerprint by which people pin it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pkigen.errors import BundleError, UsageError
from pkigen.records import dataclass

# Of Ed25519 (RFC 8032 5.1.5 and 5.1.6).
KEY_SIZE = 32
SIGNATURE_SIZE = 64
_GROUPS, _GROUP = 5, 5  # 125 bits of SHA-256: nobody finds a second key with the same
_FINGERPRINT = re.compile(rf"[a-z2-7]{{{_GROUP}}}(?:-[a-z2-7]{{{_GROUP}}}){{{_GROUPS - 1}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKey:
    """The private half, as the authority keeps it."""

    seed: bytes = field(repr=False)

    @classmethod
    def of_file(cls, text: bytes, name: str = "pki/bundle.key") -> BundleKey:
        """Read such a key's file: 32 bytes in base64.

        Raises:
            BundleError: It is not that.
        """
        try:
            seed = base64.b64decode(text, validate=True)
        except binascii.Error:
            seed = b""
        if len(seed) != KEY_SIZE:
            raise BundleError(
                f"{name} is not a key that pkigen has made: it must be {KEY_SIZE} bytes in base64",
                hint="`pkigen plan` shows what is wrong with a PKI directory",
            )
        return cls(seed=seed)

    @property
    def text(self) -> bytes:
        """What its file holds."""
        return base64.b64encode(self.seed)

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return self._key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The signature over a message (RFC 8032)."""
        return self._key().sign(message)

    def _key(self) -> Ed25519PrivateKey:
        """The library's form; it is made when it is used."""
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of a key has signed a message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    # What cannot be a key has signed nothing, either.
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """A public key as people compare it: the beginning of its SHA-256 in base 32, in five groups."""
    text = base64.b32encode(hashlib.sha256(public).digest()).decode().lower()[: _GROUP * _GROUPS]
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def parse_pin(text: str) -> str:
    """A fingerprint as a person types it.

    Raises:
        UsageError: It is none.
    """
    # A person types it from paper or the telephone.
    pin = text.strip().lower()
    if not _FINGERPRINT.fullmatch(pin):
        raise UsageError(
            f"--pin {text!r} is not a fingerprint",
            hint="a fingerprint has five groups of five letters and digits, as pkigen prints it",
        )
    return pin


def trusted_key(given: str | None, known: str | None, *, who: str, where: str) -> str:
    """The fingerprint of the one key that a file must be signed by: the one that a person has compared.

    Args:
        given: The fingerprint as a person gives it, if one does.
        known: The one that was trusted before, if any was.
        who: Whose key it is.
        where: How to find its fingerprint, for the hint.

    Raises:
        UsageError: What is given is not a fingerprint.
        BundleError: Nobody has said which key it is, or it is not the one that was trusted before.
    """
    pin = parse_pin(given) if given is not None else None
    if pin is None and known is None:
        raise BundleError(
            f"no key of the {who} is pinned here",
            hint=f"give its fingerprint with --pin, {where}; compare it by another channel than the medium",
        )
    # A pin given by mistake, or on somebody's advice, does not replace the one that was compared once.
    if pin is not None and known is not None and pin != known:
        raise BundleError(
            f"the key that is pinned here is {known}, not {pin}",
            hint=f"if the {who} really has a new key, remove pki/{who}.pin first",
        )
    return pin or known or ""
