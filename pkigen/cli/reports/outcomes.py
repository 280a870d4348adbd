"""The structures behind `-o json` of commands that say in a few sentences what they did.

docs/reference/output.md describes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.airgap.carrier.bundle_key import fingerprint as bundle_fingerprint
from pkigen.cli.reports.version import API_VERSION
from pkigen.crypto.issuance import fingerprint
from pkigen.notation import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pkigen.airgap.carrier.format import Label
    from pkigen.airgap.enrolment.request import Asked
    from pkigen.airgap.offline.directory import OfflineAuthority
    from pkigen.reconcile.adopt import TakenOver
    from pkigen.reconcile.apply import Applied
    from pkigen.reconcile.restore import Rollback
    from pkigen.state.encryption import Resealing


def bundles(packed: Iterable[tuple[Label, Path, int]], signer: str) -> dict[str, Any]:
    """The bundles that were written to a medium: each one's label, file and number of files."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Bundles",
        "signer": signer,
        "bundles": [
            {
                "bundleKind": label.kind,
                "cluster": label.cluster,
                "node": label.node,
                "serial": label.serial,
                "expires": timestamp(label.expires),
                "reader": label.reader,
                "file": str(file),
                "files": count,
            }
            for label, file, count in packed
        ],
    }


def installed(diff: dict[str, Any], backup: str | None) -> dict[str, Any]:
    """What an installation has changed on a host."""
    return {**diff, "kind": "Installed", "backup": backup}


def went_back(planned: Rollback, left: str | None) -> dict[str, Any]:
    """What going back before an installation has changed on a host."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WentBack",
        "before": planned.backup,
        "restored": [f"/{restore.path}" for restore in planned.restores],
        "removed": [f"/{path}" for path in planned.removes],
        "backup": left,
    }


def node_identity(recipient: str) -> dict[str, Any]:
    """The public half of a node's age key."""
    return {"apiVersion": API_VERSION, "kind": "NodeIdentity", "recipient": recipient}


def node_request(asked: Asked, node: str, file: Path) -> dict[str, Any]:
    """A node's request for certificates."""
    return {
        "apiVersion": API_VERSION,
        "kind": "NodeRequest",
        "node": node,
        "file": str(file),
        "signer": asked.signer,
        "created": timestamp(asked.requests.created),
        "isNew": asked.is_new,
        "certificates": [identifier for identifier, _ in asked.requests.requests],
    }


def approved(answers: dict[str, Any], applied: Applied | None) -> dict[str, Any]:
    """Nodes' requests that were approved, and the bundles that answer them."""
    return {
        **answers,
        "kind": "Approved",
        "issued": list(applied.issued) if applied is not None else [],
        "capped": list(applied.capped) if applied is not None else [],
    }


def resealed(what: Resealing, directory: str, files: Iterable[str], *, forgot: bool) -> dict[str, Any]:
    """Private files of an authority that are kept otherwise now."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Resealed",
        "action": what,
        "directory": directory,
        "files": list(files),
        "backupsRemoved": forgot,
    }


def offline_authority(opened: OfflineAuthority, directory: str) -> dict[str, Any]:
    """The CAs of an authority that is never connected, and the key that signs its answers."""
    return {
        "apiVersion": API_VERSION,
        "kind": "OfflineAuthority",
        "cluster": opened.described.cluster,
        "directory": directory,
        "caKeys": opened.described.ca_keys,
        "authorityKey": bundle_fingerprint(opened.key.public),
        "authorities": [
            {
                "id": identifier,
                "subject": opened.issuers[identifier].certificate.subject.rfc4514_string(),
                "expires": timestamp(chain[0].not_valid_after_utc),
                "fingerprint": fingerprint(chain[0]),
            }
            for identifier, chain in opened.files.items()
        ],
    }


def answered(file: Path, certificates: Iterable[str], signer: str, *, is_new: bool) -> dict[str, Any]:
    """The answer of an offline authority."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Answered",
        "file": str(file),
        "certificates": list(certificates),
        "signer": signer,
        "isNew": is_new,
    }


def explained(what: str, lines: Iterable[str]) -> dict[str, Any]:
    """Something in words."""
    return {"apiVersion": API_VERSION, "kind": "Explanation", "what": what, "lines": list(lines)}


def adopted(taken: TakenOver, cluster: str, nodes: int, root: str) -> dict[str, Any]:
    """What `adopt` has taken over."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Adopted",
        "cluster": cluster,
        "directory": root,
        "nodes": nodes,
        "objects": taken.objects,
        "due": list(taken.due),
        "advice": {str(reason): count for reason, count in taken.advice.items()},
    }
