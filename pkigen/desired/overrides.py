"""Which templates replace pkigen's own, as the lock file records it for the next command."""

from __future__ import annotations

from pkigen.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRecord:
    """A folder of templates: its path, relative to the PKI directory or absolute, and the SHA-256 of all."""

    directory: str
    sha256: str
