"""The outermost layer of a bundle: the signer and the signature, verified before anything is parsed.

16 bytes  "pkigen bundle 1" and a line feed
32 bytes  the signer's Ed25519 public key
64 bytes  its signature over everything else in the file
 4 bytes  the length of the label
 …        the label, then the age file to the end
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.archive import LARGEST_ARCHIVE
from pkigen.airgap.carrier.bundle_key import KEY_SIZE, SIGNATURE_SIZE, fingerprint, is_signed
from pkigen.airgap.carrier.format import LARGEST_LABEL, Label, decode_label, encode_label
from pkigen.errors import BundleError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.airgap.carrier.bundle_key import BundleKey

MAGIC = b"pkigen bundle 1\n"
# What the label and age add to an archive fits in a mebibyte.
LARGEST_BUNDLE = LARGEST_ARCHIVE + (1 << 20)
_LENGTH = 4
_SIGNATURE = len(MAGIC) + KEY_SIZE
_BODY = _SIGNATURE + SIGNATURE_SIZE
# Signed with the message, so that no signature of this key for another purpose fits here.
_CONTEXT = b"pkigen bundle signature 1\0"
_NOTHING_WRITTEN = "nothing was written; make and carry it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A bundle whose signature was found good."""

    public: bytes
    label: Label
    sealed: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Who signed it."""
        return fingerprint(self.public)


def wrap(label: Label, sealed: bytes, key: BundleKey) -> bytes:
    """Sign a label and an age file."""
    text = encode_label(label)
    public = key.public
    body = len(text).to_bytes(_LENGTH, "big") + text + sealed
    return b"".join((MAGIC, public, key.sign(_message(public, body)), body))


def unwrap(data: bytes, *, pin: str | None) -> Envelope:
    """Check the signature over all of a bundle, and only then read its label.

    Args:
        data: The file.
        pin: The fingerprint of the one key that is trusted; None accepts any, for a look that trusts nothing.

    Raises:
        BundleError: It is none, is not signed, is signed by another key, or was changed.
    """
    # Not just "no bundle": somebody has carried the inner layer without the outer one.
    if data.startswith(b"age-encryption.org/"):
        raise BundleError("it is not signed: a bare age file is not a bundle", hint=_NOTHING_WRITTEN)
    if not data.startswith(MAGIC):
        raise BundleError("it is not a bundle, request or answer of pkigen", hint=_NOTHING_WRITTEN)
    if len(data) < _BODY + _LENGTH:
        raise BundleError("it is cut off", hint=_NOTHING_WRITTEN)
    if len(data) > LARGEST_BUNDLE:
        raise BundleError(f"it is larger than {LARGEST_BUNDLE} bytes", hint=_NOTHING_WRITTEN)
    public, signature, body = data[len(MAGIC) : _SIGNATURE], data[_SIGNATURE:_BODY], data[_BODY:]
    # As a key, zeros are a point of small order, for which anybody can make signatures.
    if not any(signature) or not any(public):
        raise BundleError("it is not signed", hint=_NOTHING_WRITTEN)
    # Whose key it is before what it has signed: a valid signature of somebody else's says nothing.
    if pin is not None:
        require_key(public, pin)
    if not is_signed(public, signature, _message(public, body)):
        raise BundleError(
            "its signature is invalid: it was changed after it was signed", hint=_NOTHING_WRITTEN
        )
    # Only now, after the signature: nothing that an attacker writes is parsed.
    length = int.from_bytes(body[:_LENGTH], "big")
    if length > min(LARGEST_LABEL, len(body) - _LENGTH):
        raise BundleError("its label is cut off", hint=_NOTHING_WRITTEN)
    label = decode_label(body[_LENGTH : _LENGTH + length])
    return Envelope(public=public, label=label, sealed=body[_LENGTH + length :])


def require_key(public: bytes, pin: str) -> None:
    """Refuse what is signed by another key than the one that is trusted.

    Raises:
        BundleError: It is.
    """
    found = fingerprint(public)
    if found != pin:
        raise BundleError(
            f"it is signed by {found}, but {pin} is pinned",
            hint="nothing was written; compare with the fingerprint that was printed when the key was made",
        )


def _message(public: bytes, body: bytes) -> bytes:
    """What is signed: with the signer's own key in it, so that another key cannot claim the signature."""
    return b"".join((_CONTEXT, MAGIC, public, body))
