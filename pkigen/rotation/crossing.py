"""Which next generations the old ones certify when they are prepared, and what it means where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.cross_certification import unable_to_certify
from pkigen.desired.generations import CA, ca_id, ca_location
from pkigen.records import dataclass
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from pkigen.rotation.phases import WantedStep
    from pkigen.state.observed import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The CAs that certify their successors, and what breaks later because others cannot."""

    identifiers: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()

    @classmethod
    def of(cls, reader: Reader, wanted: WantedStep) -> Crossing:
        """What a preparation does, unless the operator wants none of it."""
        if not wanted.cross_sign:
            return cls()
        identifiers, risks = [], []
        for ca in (ca for ca in CA if ca_id(ca) in wanted.identifiers):
            certificate = observe_certificate(reader, ca_location(ca)).certificate
            fault = None if certificate is None else unable_to_certify(certificate)
            if fault is None:
                identifiers.append(ca_id(ca))
            else:
                risks.append(
                    f"{ca_id(ca)} cannot certify its successor ({fault}): from promote on, whoever trusts "
                    "the present CA alone is refused, such as kubeconfigs that were handed out before"
                )
        return cls(identifiers=tuple(identifiers), risks=tuple(risks))
