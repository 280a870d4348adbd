"""Files as a distribution wants them, before they are written."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.crypto.issuance import Entropy
    from pkigen.distributions.found import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file.

    Attributes:
        path: Relative to where the export is written, with slashes.
        content: What is in it.
        is_secret: Whether it holds a private key, and is for nobody else to read.
    """

    path: str
    content: bytes = field(repr=False)
    is_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportMeans:
    """What an export is made with.

    Attributes:
        now: The present, in UTC.
        entropy: The random source.
        base: Files of the distribution's own, whose other contents are kept.
    """

    now: datetime
    entropy: Entropy
    base: Source | None = None


def pair(certificate: str, certificate_pem: bytes, key: str, key_pem: bytes) -> tuple[ExportedFile, ...]:
    """A certificate, or a public key, and its private key, each in a file."""
    return (
        ExportedFile(path=certificate, content=certificate_pem, is_secret=False),
        ExportedFile(path=key, content=key_pem, is_secret=True),
    )
