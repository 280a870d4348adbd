"""Where the certificates of a plan come from: chosen by whoever has the plan applied."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from pkigen import layout
from pkigen.errors import AuthorityError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.crypto.keys import PublicKey
    from pkigen.reconcile.staging import Staging
    from pkigen.state.ledger import LedgerEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A certificate that the offline authority has issued.

    `certificate` is PEM, what its holder sends after it included. `key` is its private key, or None where
    that stays where it is, or was never here.
    """

    certificate: bytes
    key: bytes | None = field(repr=False)


class CertificateSource(Protocol):
    """Where certificates come from that cannot be issued here with a key that is made here."""

    @property
    def reuses_keys(self) -> bool:
        """Whether renewals and rotations keep the leaves' private keys, where these can be read."""
        ...

    def begin(self, staging: Staging) -> None:
        """Put on record what comes before all that is made."""
        ...

    def delivered(self, identifier: str) -> Delivered:
        """A certificate that only the offline authority can issue.

        Raises:
            AuthorityError: The source does not bring it.
        """
        ...

    def requested_key(self, identifier: str) -> PublicKey:
        """The public key that a certificate is for whose private key is on its node alone.

        Raises:
            AuthorityError: The source does not bring it.
        """
        ...

    def end(self, staging: Staging) -> None:
        """Stage what the directory keeps of the source, once all is made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedHere:
    """Brings nothing: every certificate is issued here."""

    reuses_keys: bool = False

    def begin(self, staging: Staging) -> None:
        """Nothing comes before."""

    def delivered(self, identifier: str) -> Delivered:
        """Nothing was delivered.

        Raises:
            AuthorityError: Always.
        """
        raise AuthorityError(
            f"only the offline authority can issue {identifier}",
            hint="request it: `pkigen airgap authority request`",
        )

    def requested_key(self, identifier: str) -> PublicKey:
        """No node has asked.

        Raises:
            AuthorityError: Always.
        """
        raise AuthorityError(
            f"only its node can request {identifier}, because only it has the private key",
            hint="request it there: `pkigen airgap node request`",
        )

    def end(self, staging: Staging) -> None:
        """Nothing is kept."""


ISSUED_HERE = IssuedHere()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(IssuedHere):
    """Brings what came back from the offline authority, by id, and how the directory keeps that it came.

    `spent` is the file that waited for it. `files` are written beside the tree's own.
    """

    certificates: Mapping[str, Delivered]
    spent: str
    entry: LedgerEntry
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def delivered(self, identifier: str) -> Delivered:
        """A certificate of the delivery."""
        if identifier not in self.certificates:
            return IssuedHere.delivered(self, identifier)
        return self.certificates[identifier]

    def end(self, staging: Staging) -> None:
        """What has waited for the delivery is spent."""
        for path, content in self.files.items():
            staging.stage(path, layout.PUBLIC_MODE, content)
        # Who was waiting for it must not be able to accept another answer to the same request.
        # In the same change: an answer is accepted once.
        staging.remove(self.spent)
        staging.record(self.entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedKeys(IssuedHere):
    """Brings the keys that nodes have asked to certify, by id, and the lines that record it."""

    keys: Mapping[str, PublicKey]
    entries: tuple[LedgerEntry, ...]

    def begin(self, staging: Staging) -> None:
        """Who was let in comes before what was issued for it."""
        for entry in self.entries:
            staging.record(entry)

    def requested_key(self, identifier: str) -> PublicKey:
        """A key of an approved request."""
        if identifier not in self.keys:
            return IssuedHere.requested_key(self, identifier)
        return self.keys[identifier]
