"""What a rotation means for issuers of tokens: their servers are not pkigen's, so no proof sees them.

API servers verify an issuer's server by `spec.authentication.jwt[].issuer.certificateAuthority`. Where that
is the CA of the cluster, both generations are in the file while it rotates; where it is a CA's certificate as
PEM, nobody changes it but whoever writes the spec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.generations import CA, Phase, Slot, ca_id, ca_location
from pkigen.rotation.phases import DROPPED
from pkigen.rotation.step_names import RotationStep
from pkigen.spec.authentication import CLUSTER_CA
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.authentication import JWTIssuer
    from pkigen.state.observed import Reader


def issuer_premises(inventory: Inventory, identifiers: Iterable[str], step: RotationStep) -> Iterator[str]:
    """What is assumed of the servers of issuers whose certificates the rotating CA has signed.

    Args:
        inventory: Before the step.
        identifiers: What rotates.
        step: Which step.
    """
    ca = ca_id(CA.KUBERNETES)
    issuers = [
        each for each in inventory.cluster.token_issuers if each.issuer.certificate_authority == CLUSTER_CA
    ]
    if ca not in identifiers or not issuers:
        return
    which = DROPPED.get((inventory.rotations.phase(ca), step))
    for each in issuers:
        if which is None:
            yield (
                f"the server of the issuer {each.issuer.url} is not in the proof: it shows a certificate of "
                f"the {ca} that API servers trust before and after this step"
            )
        else:
            yield (
                f"the server of the issuer {each.issuer.url} shows no certificate that the {which} {ca} has "
                "signed; API servers would accept none of its tokens once they need its keys again"
            )


def issuer_risks(
    inventory: Inventory, reader: Reader, identifiers: Iterable[str], step: RotationStep
) -> Iterator[str]:
    """Issuers whose CA stands in the spec as it is today: no step changes it there."""
    for ca in (ca for ca in CA if ca_id(ca) in identifiers):
        present = {slot: observe_certificate(reader, ca_location(ca, slot)).certificate for slot in Slot}
        stays = _remaining(inventory.rotations.phase(ca_id(ca)), step)
        for each in inventory.cluster.token_issuers:
            if _trusts_only_what_goes(each, present, stays):
                way_out = (
                    f"write certificateAuthority: {CLUSTER_CA}"
                    if ca is CA.KUBERNETES
                    else "add the other generation's"
                )
                yield (
                    f"spec.authentication.jwt {each.name} names the certificate of one generation of "
                    f"{ca_id(ca)} in certificateAuthority, which no step changes: API servers refuse the "
                    f"server of {each.issuer.url} once its certificate is of the other generation; {way_out}"
                )


def _remaining(phase: Phase, step: RotationStep) -> Slot:
    """Where the CA lies before the step that signs in the end, if the rotation goes on in this direction."""
    if step is RotationStep.ROLLBACK:
        return Slot.PREVIOUS if phase is Phase.PROMOTED else Slot.CURRENT
    return Slot.CURRENT if phase is Phase.PROMOTED else Slot.NEXT


def _trusts_only_what_goes(
    issuer: JWTIssuer, present: dict[Slot, x509.Certificate | None], stays: Slot
) -> bool:
    """Whether the spec pins generations of a CA, and none of them is the one that stays."""
    named = parse_certificates((issuer.issuer.certificate_authority or "").encode())
    # A sentence says that it is no PEM: it is the cluster's CA by its name, or none is given.
    if isinstance(named, str):
        return False
    has = {slot for slot, certificate in present.items() if certificate is not None and certificate in named}
    return bool(has) and stays not in has
