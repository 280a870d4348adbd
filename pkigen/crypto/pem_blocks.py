"""What stands in a PEM file, as Go reads it: block after block, whatever is between them."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from pkigen.crypto.keys import UnsupportedKeyError, public_der, public_half
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

# Every repetition has a bound, so that a hostile file cannot make the search take the square of its length;
# the header lines are those of RFC 1421 4.6.
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s*"
    rb"(?:[A-Za-z-]{1,20}: [^\n]{1,100}\r?\n){0,4}[A-Za-z0-9+/=\s]{1,65536}-----END \1-----"
)
_BEGIN: Final = b"-----BEGIN "
_MOST_BLOCKS: Final = 256
_PRIVATE: Final = b"PRIVATE KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class PEMContent:
    """The blocks of a file that matter; of private keys only the public half is kept, as DER.

    `public` are the keys that stand alone or in certificates' place (`sa.pub`). `faults` say what could not
    be read, without any of it.
    """

    certificates: tuple[x509.Certificate, ...]
    private: tuple[bytes, ...]
    public: tuple[bytes, ...]
    faults: tuple[str, ...]
    holds_private: bool

    @property
    def token_keys(self) -> tuple[bytes, ...]:
        """What an API server takes from it to judge tokens by (`keyutil.ParsePublicKeysPEM`)."""
        held = (public_der(each.public_key()) for each in self.certificates)
        return (*self.private, *self.public, *held)


def read_pem(data: bytes) -> PEMContent:
    """The content of a PEM file."""
    certificates: list[x509.Certificate] = []
    keys: dict[bool, list[bytes]] = {True: [], False: []}
    faults: list[str] = []
    matches = list(_BLOCK.finditer(data))
    if len(matches) != data.count(_BEGIN):
        faults.append("holds a damaged PEM block")
    if len(matches) > _MOST_BLOCKS:
        faults.append(f"holds more than {_MOST_BLOCKS} PEM blocks")
    for match in matches[:_MOST_BLOCKS]:
        kind, block = match[1], match[0]
        try:
            if kind == b"CERTIFICATE":
                certificates.append(_certificate(block))
            elif kind.endswith(_PRIVATE):
                keys[True].append(public_half(block + b"\n"))
            elif kind in {b"PUBLIC KEY", b"RSA PUBLIC KEY"}:
                keys[False].append(_public(block))
        except (_UnreadableBlock, UnsupportedKeyError) as fault:
            faults.append(str(fault))
    return PEMContent(
        certificates=tuple(certificates),
        private=tuple(keys[True]),
        public=tuple(keys[False]),
        faults=tuple(dict.fromkeys(faults)),
        holds_private=b"PRIVATE KEY-----" in data,
    )


def private_blocks(data: bytes) -> tuple[bytes, ...]:
    """The private keys of a PEM file, each as it is there."""
    found = list(_BLOCK.finditer(data))
    return tuple(each[0] + b"\n" for each in found[:_MOST_BLOCKS] if each[1].endswith(_PRIVATE))


class _UnreadableBlock(Exception):  # noqa: N818 -- a fault on its way into the content
    pass


_READ_LATE: Final[tuple[Callable[[x509.Certificate], object], ...]] = (
    lambda each: each.extensions,
    lambda each: (each.subject, each.issuer),
    lambda each: (each.not_valid_before_utc, each.not_valid_after_utc),
    lambda each: each.serial_number,
    lambda each: public_der(each.public_key()),
)
"""Parsing is lazy: what every check relies on must be readable now, not later."""


def _certificate(block: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyca's, about what stricter authorities would not give
            certificate = x509.load_pem_x509_certificate(block)
            for read in _READ_LATE:
                read(certificate)
    except Exception as error:  # noqa: BLE001 -- the parser raises many kinds; all mean the same here
        msg = f"holds a certificate that cannot be read ({type(error).__name__})"
        raise _UnreadableBlock(msg) from None
    return certificate


def _public(block: bytes) -> bytes:
    """A public key of any kind: it is compared with others, and nothing is verified with it here."""
    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise _UnreadableBlock("holds a public key that cannot be read") from None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
