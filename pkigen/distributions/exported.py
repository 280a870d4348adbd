"""Files as a distribution wants them, before they are written."""

from __future__ import annotations

from dataclasses import dataclass, field


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


def pair(certificate: str, certificate_pem: bytes, key: str, key_pem: bytes) -> tuple[ExportedFile, ...]:
    """A certificate, or a public key, and its private key, each in a file."""
    return (
        ExportedFile(path=certificate, content=certificate_pem, is_secret=False),
        ExportedFile(path=key, content=key_pem, is_secret=True),
    )
