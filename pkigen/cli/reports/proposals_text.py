"""What an offline authority would sign for a request, as a person reads it before agreeing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.crypto.profiles import PROFILES

if TYPE_CHECKING:
    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.airgap.offline.answers import Proposal


def proposals_text(requests: RequestSet, found: tuple[Proposal, ...]) -> str:
    """What a request asks for, and all that would be in each certificate."""
    lines = [
        f"request {requests.nonce[:8]} of {requests.cluster}, made {requests.created:%Y-%m-%d %H:%M} UTC:"
    ]
    if not found:
        lines.append("no certificate; the answer holds those of the CAs")
    for each in found:
        lines += [
            each.item.id,
            f"    subject {each.item.subject}; names {', '.join(each.item.sans.texts()) or 'none'}",
            f"    {_usages(each)}; {each.item.key_algorithm}, until {each.until:%Y-%m-%d %H:%M} UTC",
            f"    key {spki_fingerprint(public_der(each.key))}; signed by {each.issuer}",
        ]
    return page(lines)


def _usages(proposal: Proposal) -> str:
    row = PROFILES[proposal.item.profile]
    if row.is_ca:
        below = "" if row.path_length is None else f", path length {row.path_length}"
        return f"CA{below}"
    return ", ".join(str(usage._name) for usage in row.extended_key_usages)  # noqa: SLF001 -- the only name table
