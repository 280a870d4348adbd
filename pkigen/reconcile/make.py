"""Makes one object of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pkigen.crypto.issuance import Entropy
    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.rendering import Renderer
    from pkigen.state.ledger import LedgerEntry
    from pkigen.state.vault import Vault


class Progress(Protocol):
    """Told how far a long piece of work is."""

    def begin(self, what: str, total: int) -> None:
        """A piece of work with that many steps begins."""
        ...

    def step(self) -> None:
        """One step is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A certificate that the offline authority has issued.

    `certificate` is PEM, what its holder sends after it included. `key` is its private key, or None where
    that stays where it is, or was never here.
    """

    certificate: bytes
    key: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What came back from the offline authority, by id, and how the directory keeps that it came.

    `spent` is the file that waited for it. `files` are written beside the tree's own.
    """

    certificates: Mapping[str, Delivered]
    spent: str
    entry: LedgerEntry
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the work needs from outside: the clock, the random source, the templates, an ear for progress.

    `makers` are processes that make keys already. `vault` opens the authority's private files and closes them
    before they reach the disk.
    """

    now: datetime
    entropy: Entropy
    renderer: Renderer
    progress: Progress
    makers: KeyMakers | None = None
    vault: Vault = field(default_factory=PlainVault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What nodes have asked for: the keys to certify, by the inventory's id, and the lines that record it."""

    keys: Mapping[str, PublicKey]
    entries: tuple[LedgerEntry, ...]


@dataclass(kw_only=True)
class Made:
    """What was made so far, for the report and the ledger."""

    issued: list[str] = field(default_factory=list)
    capped: list[str] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
