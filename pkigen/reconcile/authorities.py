"""The CAs by which things are made: read when first asked for, and refused where they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.ca_fitness import has_name_constraints
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.desired.generations import CA, ca_id, ca_location
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredFile, MaterialKind
from pkigen.errors import AuthorityError
from pkigen.state.authority import CACertificates, certificates_of, load_issuer
from pkigen.state.materials import Materials
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from pkigen.crypto.issuance import Issuer
    from pkigen.desired.generations import Slot
    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.staging import Staging


class Authorities:
    """What the authority gives to what is made, out of the tree as it will be.

    The inventory has issuers before what they sign, so that a CA is made by the time it is asked for.

    Args:
        inventory: What must exist.
        staging: Shows the tree as it will be.
        now: The present, in UTC.
    """

    def __init__(self, inventory: Inventory, staging: Staging, *, now: datetime) -> None:
        self._inventory = inventory
        self._staging = staging
        self._now = now
        self._verifier = PathVerifier(now)
        self._certificates: dict[CA, CACertificates] = {}
        self._issuers: dict[CA, Issuer] = {}
        # Opened: components read keys in the clear, however the authority keeps them.
        self._materials = Materials(staging.opened, self.require)

    def require(self, ca: CA) -> CACertificates:
        """A CA's certificates.

        Raises:
            AuthorityError: The authority does not have it, or it is unfit.
        """
        if ca not in self._certificates:
            certificates = certificates_of(self._staging.view, self._inventory, ca, now=self._now)
            if certificates is None:
                raise AuthorityError(f"the authority has no {ca_id(ca)} CA")
            self._certificates[ca] = certificates
        return self._certificates[ca]

    def issuer(self, ca: CA) -> Issuer:
        """A CA that can sign.

        Raises:
            AuthorityError: Its certificate or its key is not here.
        """
        # Opening a sealed key, and checking that it fits its certificate, is done once for all leaves.
        if ca not in self._issuers:
            self._issuers[ca] = load_issuer(self._staging.opened, ca, self.require(ca))
        return self._issuers[ca]

    def chain_after(self, item: DesiredCertificate) -> tuple[x509.Certificate, ...]:
        """What the holder of a certificate sends after it."""
        return () if item.issuer is None else self.require(item.issuer).sent_after(item)

    def generation(self, ca: CA, slot: Slot) -> Issuer:
        """One generation of a CA, with its key.

        Raises:
            AuthorityError: Its certificate or its key is not here.
        """
        certificate = self.certificate(ca, slot)
        return load_issuer(
            self._staging.opened, ca, CACertificates(certificate=certificate, chain=()), slot=slot
        )

    def certificate(self, ca: CA, slot: Slot) -> x509.Certificate:
        """The certificate of one generation of a CA.

        Raises:
            AuthorityError: It is not here.
        """
        found = observe_certificate(self._staging.view, ca_location(ca, slot)).certificate
        if found is None:
            raise AuthorityError(f"{ca_location(ca, slot).certificate} cannot be read")
        return found

    def trust_bundle(self, ca: CA, path: str) -> bytes:
        """The trust anchors that a kubeconfig embeds.

        Raises:
            AuthorityError: One of them is still to be made; without it the file would trust nobody.
        """
        kind = MaterialKind.TRUST_BUNDLE
        return _present(self._materials.of(kind, ca), kind, path)

    def material(self, item: DesiredCopy) -> bytes:
        """What a copy on a node holds.

        Raises:
            AuthorityError: The authority does not have it.
        """
        return _present(self._materials.for_copy(item), item.material, item.path)

    def encryption_keys(self, item: DesiredFile) -> tuple[bytes, ...]:
        """The keys that a rendered file may hold; none for a file that holds no secret.

        Raises:
            AuthorityError: One of them is missing; without it the file would leave Secrets unencrypted.
        """
        if not item.secret:
            return ()
        keys = self._materials.encryption_keys(self._inventory.rotations)
        if keys is None:
            raise AuthorityError(f"the authority has no encryption key for {item.path}")
        return keys

    def require_permitted(self, item: DesiredCertificate, certificate: x509.Certificate) -> None:
        """A CA of the user's may be constrained to names that are not this cluster's (RFC 5280 4.2.1.10).

        Raises:
            AuthorityError: Verifiers would refuse the certificate.
        """
        if item.issuer is None:
            return
        anchor = self.require(item.issuer).certificate
        # Hardly any CA has them, and verifying a path costs more than signing.
        if not has_name_constraints(anchor):
            return
        # A wildcard is no name that a client connects to; any other of the names
        # shows whether the CA permits them.
        name = next((name for name in item.sans.texts() if not name.startswith("*.")), None)
        refusal = (
            # A certificate without names can still be refused for its CA: the path is what is verified.
            self._verifier.client((certificate,), (anchor,))
            if name is None
            else self._verifier.server((certificate,), (anchor,), name)
        )
        if refusal is not None:
            raise AuthorityError(
                f"{ca_location(item.issuer).certificate} must not sign {item.id}: {refusal}",
                hint="provide a CA whose name constraints permit every name and address of the cluster",
            )


def _present(content: bytes | None, material: MaterialKind, path: str) -> bytes:
    """Refuse to write a file without what makes it safe or of use."""
    if content is None:
        raise AuthorityError(f"the authority has no {material} for {path}")
    return content
