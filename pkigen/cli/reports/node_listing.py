"""Nodes' certificates as `airgap node` shows them: what is asked for, and what would be issued for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page, table
from pkigen.crypto.keys import public_der, spki_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Plan


def keys_listed(keys: Mapping[str, PublicKey]) -> str:
    """The keys that would be certified, to compare with `openssl pkey -pubin -outform DER | sha256sum`."""
    return page(
        f"key of {identifier}: {spki_fingerprint(public_der(key))}" for identifier, key in keys.items()
    )


def listed(items: Iterable[DesiredCertificate], plan: Plan | None = None, *, width: int | None = None) -> str:
    """What is asked for; with a plan, also who signs it and until when."""
    ends = {
        action.id: action.reissuance.will_expire
        for action in (plan.changes if plan is not None else ())
        if action.reissuance is not None
    }
    head: tuple[str, ...] = ("CERTIFICATE", "SUBJECT", "USAGE", "KEY", "NAMES")
    rows: list[tuple[str, ...]] = []
    for item in items:
        row = (item.id, str(item.subject), str(item.profile), str(item.key_algorithm))
        names = " ".join(item.sans.texts()) or "-"
        if plan is None:
            rows.append((*row, names))
        else:
            issuer = item.issuer.certificate_name if item.issuer else "-"
            rows.append((*row, issuer, f"{ends[item.id]:%Y-%m-%d}", names))
    if plan is not None:
        head = ("CERTIFICATE", "SUBJECT", "USAGE", "KEY", "SIGNED BY", "UNTIL", "NAMES")
    return table(head, rows, width=width)
