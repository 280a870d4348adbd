"""Generations of a CA: after a rotation, `kubernetes` is called `kubernetes-g2`.

The next generation is requested by the id that it has while it is prepared, such as `ca-next`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen.crypto.csr import subject_asked
from pkigen.desired.certificate_items import ca_sans
from pkigen.desired.generations import CA, Slot, ca_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.desired.items import DesiredCertificate


def successors(identifiers: Iterable[str]) -> tuple[str, ...]:
    """The ids of the CAs whose next generation is among these."""
    found = frozenset(identifiers)
    return tuple(ca_id(ca) for ca in CA if next_id(ca_id(ca)) in found)


def next_id(identifier: str) -> str:
    """The id of a CA's next generation."""
    return f"{identifier}{Slot.NEXT}"


def as_asked(item: DesiredCertificate, request: bytes) -> DesiredCertificate:
    """What the spec asks for, a CA under the name of the generation that the request is for."""
    asked = subject_asked(request) if item.issuer is None else None
    first = item.subject.common_name
    if asked is None or not re.fullmatch(rf"{re.escape(first)}-g[1-9]\d{{0,5}}", asked.common_name):
        return item
    return renamed(item, asked.common_name)


def renamed(item: DesiredCertificate, name: str) -> DesiredCertificate:
    """A CA under another name."""
    return replace(item, subject=replace(item.subject, common_name=name), sans=ca_sans(name))
