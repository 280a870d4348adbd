"""What the objects of a plan are made with: tools from outside, and the bench that holds what is made."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.crew import ALL_HANDS, Hands
from pkigen.records import dataclass
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.crypto.issuance import Entropy
    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.authorities import Authorities
    from pkigen.reconcile.plan import Action
    from pkigen.reconcile.progress import Progress
    from pkigen.reconcile.source import CertificateSource
    from pkigen.reconcile.staging import Staging
    from pkigen.state.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What making things needs from outside: clock, random source, templates, and where progress goes.

    `makers` are processes that make keys already. `vault` opens the authority's private files and closes them
    before they reach the disk. `spec` is the file that becomes the directory's own with the change. `hands`
    are the processes that share it.
    """

    now: datetime
    entropy: Entropy
    renderer: Renderer
    progress: Progress
    makers: KeyMakers | None = None
    vault: Vault = field(default_factory=PlainVault)
    spec: bytes | None = field(default=None, repr=False)
    hands: Hands = ALL_HANDS


@dataclass(kw_only=True)
class Made:
    """The ids of what was made so far, and of what was shortened to its CA's end."""

    issued: list[str] = field(default_factory=list)
    capped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What the objects of one plan are made from, by and into."""

    inventory: Inventory
    tools: Tools
    source: CertificateSource
    staging: Staging
    authorities: Authorities
    made: Made = field(default_factory=Made)

    def record(
        self, event: Event, identifier: str, action: Action, facts: dict[str, str | int | list[str]]
    ) -> None:
        """Put on record that an object was made, and why."""
        self.made.issued.append(identifier)
        self.staging.record(LedgerEntry(event=event, id=identifier, reason=action.reason, facts=facts))
