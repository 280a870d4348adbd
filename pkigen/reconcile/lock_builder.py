"""Builds `pki.lock` of one survey."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from pkigen.desired.adopted import ABSENT
from pkigen.desired.items import (
    Desired,
    DesiredCertificate,
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
)
from pkigen.notation import json_text
from pkigen.reconcile.surveyed import kept
from pkigen.records import dataclass
from pkigen.state.lockfile import FORMAT, content_digest, head, spec_facts
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.overrides import OverrideRecord
    from pkigen.reconcile.division import Summary
    from pkigen.state.authority_identities import Identities
    from pkigen.state.ledger import Head


@dataclass(kw_only=True)
class LockBuilder:
    """Gathers what a survey of the finished tree sees."""

    inventory: Inventory
    templates: OverrideRecord | None
    _certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)
    _adopted: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, summary: Summary) -> None:
        """Take up one object."""
        item = summary.item
        if summary.action.reason is Reason.AWAITS_REQUEST:
            return  # nothing is there yet
        if summary.adopted is not None:
            self._adopted[item.id] = asdict(summary.adopted)
            if summary.adopted.found == ABSENT:
                return  # and nothing is missed
        for path in summary.action.paths:
            # Every path is listed, for removal when the spec no longer asks for
            # it; digests of public files only.
            self._files.setdefault(path, {})
        match item:
            case DesiredCertificate() if summary.facts is not None:
                self._certificates[item.id] = {
                    "path": summary.action.paths[0],
                    "issuer": item.issuer.certificate_name if item.issuer else None,
                    **summary.facts,
                }
            case DesiredCrossCertificate() | DesiredKeyPair() | DesiredCopy() | DesiredFile() if (
                summary.sha256 is not None
            ):
                self._files[summary.action.paths[-1]] = {"sha256": summary.sha256.hex()}
            case _:
                pass

    def take_over(self, item: Desired, earlier: LockBuilder) -> None:
        """Take up an object as another builder has done, since when nothing about it has changed."""
        for path in kept(item).paths:
            if path in earlier._files:
                self._files[path] = earlier._files[path]
        if item.id in earlier._certificates:
            self._certificates[item.id] = earlier._certificates[item.id]
        if item.id in earlier._adopted:
            self._adopted[item.id] = earlier._adopted[item.id]

    @property
    def certificates(self) -> Mapping[str, Mapping[str, Any]]:
        """What is told of each certificate, by id."""
        return self._certificates

    def encode(self, ledger: Head, authority: Identities | None) -> bytes:
        """The file's bytes.

        Args:
            ledger: Where the ledger ends.
            authority: The identities of the authority's keys; None as an older pkigen has left them out.
        """
        return json_text(self._content(authority, {"ledger": head(ledger)}))

    def digest(self, authority: Identities | None) -> str:
        """What the ledger will know the file by (`lockfile.lock_digest`), wherever the ledger ends."""
        return content_digest(self._content(authority, {}))

    def _content(
        self, authority: Identities | None, ledger: dict[str, dict[str, int | str]]
    ) -> dict[str, Any]:
        """What the file says; without the end of the ledger where that is left out."""
        return {
            "apiVersion": FORMAT,
            "kind": "Lock",
            "cluster": self.inventory.cluster.name,
            # So that later commands need no spec file, and a change of the spec alone is seen.
            "spec": spec_facts(self.inventory.cluster),
            **_templates(self.templates),
            **_rotations(self.inventory),
            **_etcd(self.inventory),
            **ledger,
            **({} if authority is None else {"authority": authority}),
            **_revoked(self.inventory),
            **({"adopted": dict(sorted(self._adopted.items()))} if self._adopted else {}),
            "certificates": dict(sorted(self._certificates.items())),
            "files": dict(sorted(self._files.items())),
        }


def _templates(record: OverrideRecord | None) -> dict[str, dict[str, str]]:
    """The templates that the files were rendered from: the next command uses them again."""
    return {} if record is None else {"templates": {"directory": record.directory, "sha256": record.sha256}}


def _rotations(inventory: Inventory) -> dict[str, dict[str, str]]:
    """The phases of the rotations in progress."""
    phases = {identifier: str(phase) for identifier, phase in sorted(inventory.rotations.phases.items())}
    return {"rotations": phases} if phases else {}


def _revoked(inventory: Inventory) -> dict[str, dict[str, dict[str, str]]]:
    """Which credentials API servers must refuse."""
    found = {str(each.credential): each.facts for each in inventory.revocations.active}
    return {"revoked": found} if found else {}


def _etcd(inventory: Inventory) -> dict[str, dict[str, list[str]]]:
    """How the etcd cluster came about: the one thing about it that no spec can say."""
    membership = inventory.etcd
    if not membership.founders and not membership.joined:
        return {}
    return {"etcd": {"founders": list(membership.founders), "joined": list(membership.joined)}}
