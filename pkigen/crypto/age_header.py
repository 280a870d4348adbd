"""The header of an age file (https://age-encryption.org/v1), read with distrust before anything else is.

Anybody can write one, and what it asks for decides how much memory and time its reader spends. So its form,
its size and its amount of work are checked here; no library sees a header that has not passed.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import field
from typing import Final

from pkigen.records import dataclass

INTRODUCTION: Final = b"age-encryption.org/v1\n"
LARGEST_HEADER: Final = 1 << 13
"""In bytes: about sixty recipients; what libraries do with a header takes the square of its length."""
SCRYPT: Final = "scrypt"

_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
# Body lines have 64 columns but for the last, which is shorter and may be empty: so the end is unambiguous.
_STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n")
_END = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


def is_sealed(data: bytes) -> bool:
    """Whether this is an age file."""
    return data.startswith(INTRODUCTION)


# A scrypt stanza stands alone in its header (age-encryption.org/v1), so the first one tells.
def is_passphrase_sealed(sealed: bytes) -> bool:
    """Whether an age file asks for a passphrase."""
    return sealed.startswith(INTRODUCTION + f"-> {SCRYPT} ".encode())


class HeaderError(ValueError):
    """The header cannot be one of an age file that is opened here; the argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """The file key, wrapped for one recipient."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the payload; `covered` is what the MAC is over, `size` where the payload begins."""

    stanzas: tuple[Stanza, ...]
    covered: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    size: int

    @property
    def is_for_passphrase(self) -> bool:
        """Whether any stanza is a passphrase's; the specification allows it alone only."""
        return any(stanza.kind == SCRYPT for stanza in self.stanzas)


def read_header(data: bytes) -> Header:
    """Read a header.

    Raises:
        HeaderError: It is none, or larger than any that is needed.
    """
    if data.startswith(_ARMOR):
        raise HeaderError("it is in age's armored form, which pkigen neither writes nor reads")
    # The bound also holds for the regular expressions, which see no more than this.
    head = data[:LARGEST_HEADER]
    if not head.startswith(INTRODUCTION):
        raise HeaderError("it is not an age file of version 1")
    stanzas = []
    position = len(INTRODUCTION)
    while found := _STANZA.match(head, position):
        kind, *arguments = found[1].decode("ascii").split(" ")
        body = decoded(found[2].replace(b"\n", b""))
        stanzas.append(Stanza(kind=kind, arguments=tuple(arguments), body=body))
        position = found.end()
    end = _END.match(head, position)
    if end is None or not stanzas:
        # With its last line within the bound, it is not its length that is wrong.
        too_long = len(data) > LARGEST_HEADER and b"\n--- " not in head
        raise HeaderError(
            f"its header is longer than {LARGEST_HEADER} bytes" if too_long else "its header is damaged"
        )
    return Header(
        stanzas=tuple(stanzas),
        covered=head[: position + len(b"---")],
        mac=decoded(end[1]),
        size=end.end(),
    )


def decoded(text: bytes) -> bytes:
    """Unpadded base64, in the one way of writing it.

    Raises:
        HeaderError: It is none.
    """
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise HeaderError("its header is damaged") from None
    # Python ignores the bits that do not fill an octet. With them, one header would have many spellings, and
    # the specification refuses all but one.
    if encoded(data).encode() != text:
        raise HeaderError("its header is damaged")
    return data


def encoded(data: bytes) -> str:
    """Unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")
