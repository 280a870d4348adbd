"""The work of `pkigen renew`: what whoever renews should know."""

from __future__ import annotations

from pkigen.cli.console import note
from pkigen.cli.session import Session
from pkigen.notation import residual
from pkigen.reconcile.renewal import AUTHORITIES, ending_authorities, require_renewable
from pkigen.store import Store


def review_authorities(session: Session, store: Store, ids: frozenset[str]) -> None:
    """Say of CAs what whoever renews should know: what renewing one cures, or that one ends soon."""
    if ids & AUTHORITIES:
        require_renewable(session.planner, store, ids, root=session.root)
        note(
            "note: the CA keeps its key, so everything it signed stays valid, and the discovery hash "
            "stays the same; if the key may have leaked, rotate the CA instead: `pkigen rotate ca`"
        )
        return
    for ca, end in ending_authorities(session.planner, store):
        note(
            f"note: the {ca.certificate_name} CA itself expires {end:%Y-%m-%d}, in "
            f"{residual(end - session.now)}, and so do the certificates it signs; rotate it: "
            "`pkigen rotate ca`"
        )
