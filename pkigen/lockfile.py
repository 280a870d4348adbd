"""`pki.lock`: the inventory as issued. Deterministic, sorted, free of secrets; to be committed to Git.

It is made from what is on disk, so two runs over the same tree give the same bytes, and the difference
between two of them reads like the change that it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.checks import Reason, sans_of, subject_of
from pkigen.errors import PkigenError
from pkigen.inventory import DesiredCertificate, DesiredCopy, DesiredFile, DesiredKeyPair, EtcdMembership
from pkigen.issuing import fingerprint
from pkigen.keys import describe, public_der, spki_fingerprint
from pkigen.ledger import EMPTY, Head, timestamp
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from cryptography import x509

    from pkigen.inventory import Inventory
    from pkigen.observing import Reader
    from pkigen.spec.model import ClusterSpec
    from pkigen.surveying import Surveyed

LARGEST_LOCK = 1 << 28
_FORMAT = "pkigen/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a lock file says, as far as pkigen itself relies on it."""

    paths: frozenset[str]
    ledger: Head
    spec: dict[str, Any]
    fingerprints: dict[str, str]
    etcd: EtcdMembership
    keys: dict[str, str]
    """The id of the certificate that each public key (`spki_fingerprint`) belongs to."""

    def cluster(self) -> ClusterSpec:
        """The spec that the directory was last made from.

        Raises:
            PkigenError: It is no valid spec for this pkigen.
        """
        from pkigen.spec.model import ClusterSpec  # noqa: PLC0415 -- only those without a spec file need it

        try:
            return ClusterSpec.model_validate(self.spec)
        except ValueError:
            raise PkigenError(
                f"the spec in {layout.LOCK_FILE} is not valid for this pkigen",
                hint="give the spec with --spec",
            ) from None


@dataclass(kw_only=True)
class LockBuilder:
    """Gathers what a survey of the finished tree sees."""

    inventory: Inventory
    _certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, surveyed: Surveyed) -> None:
        """Take up one object."""
        item = surveyed.item
        if surveyed.action.reason is Reason.AWAITS_REQUEST:
            return  # nothing is there yet
        for path in surveyed.action.paths:
            self._files.setdefault(path, {})
        match item:
            case DesiredCertificate() if surveyed.observed is not None and surveyed.observed.certificate:
                self._certificates[item.id] = {
                    "path": surveyed.action.paths[0],
                    "issuer": item.issuer.certificate_name if item.issuer else None,
                    **certificate_facts(surveyed.observed.certificate),
                }
            case DesiredKeyPair() | DesiredCopy() | DesiredFile() if surveyed.sha256 is not None:
                self._files[surveyed.action.paths[-1]] = {"sha256": surveyed.sha256.hex()}
            case _:
                pass

    def encode(self, ledger: Head) -> bytes:
        """The file's bytes."""
        content = {
            "apiVersion": _FORMAT,
            "kind": "Lock",
            "cluster": self.inventory.cluster.name,
            "spec": spec_facts(self.inventory.cluster),
            **_rotations(self.inventory),
            **_etcd(self.inventory),
            "ledger": _head(ledger),
            "certificates": dict(sorted(self._certificates.items())),
            "files": dict(sorted(self._files.items())),
        }
        return _encoded(content)


def with_ledger(data: bytes, ledger: Head) -> bytes:
    """A lock file that was read, with another end of the ledger and nothing else changed."""
    content = json.loads(data)
    content["ledger"] = _head(ledger)
    return _encoded(content)


def _head(ledger: Head) -> dict[str, int | str]:
    return {"entries": ledger.entries, "head": ledger.hash}


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=True).encode() + b"\n"


def _rotations(inventory: Inventory) -> dict[str, dict[str, str]]:
    """The phases of the rotations that are under way."""
    phases = {identifier: str(phase) for identifier, phase in sorted(inventory.rotations.phases.items())}
    return {"rotations": phases} if phases else {}


def _etcd(inventory: Inventory) -> dict[str, dict[str, list[str]]]:
    """How the etcd cluster came about: the one thing about it that no spec can say."""
    membership = inventory.etcd
    if not membership.founders and not membership.joined:
        return {}
    return {"etcd": {"founders": list(membership.founders), "joined": list(membership.joined)}}


def spec_facts(cluster: ClusterSpec) -> dict[str, Any]:
    """The spec as it was understood, nodes and users by name, without what is default anyway."""
    content: dict[str, Any] = cluster.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content = {"apiVersion": cluster.api_version, "kind": cluster.kind, **content}
    for key in ("nodes", "users"):
        if key in content["spec"]:
            content["spec"][key].sort(key=lambda each: each["name"])
    certificates = content["spec"].get("certificates", {})
    if "overrides" in certificates:
        certificates["overrides"] = dict(sorted(certificates["overrides"].items()))
    return content


def certificate_facts(certificate: x509.Certificate) -> dict[str, Any]:
    """What can be told of a certificate in public."""
    subject = subject_of(certificate)
    key = certificate.public_key()
    return {
        "subject": str(subject),
        "sans": list(sans_of(certificate)),
        "serial": f"{certificate.serial_number:x}",
        "notBefore": timestamp(certificate.not_valid_before_utc),
        "notAfter": timestamp(certificate.not_valid_after_utc),
        "key": describe(key),
        "fingerprint": f"sha256:{fingerprint(certificate)}",
        "spki": spki_fingerprint(public_der(key)),
    }


def read_lock(reader: Reader) -> Lock | None:
    """The lock file that an earlier run wrote; None where there is none or it cannot be understood.

    Raises:
        RefusedError: The system does not let it be read: nobody knows what earlier runs wrote.
    """
    try:
        content = json.loads(reader.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data)
        ledger = content.get("ledger", {})
        head = Head(entries=int(ledger["entries"]), hash=str(ledger["head"])) if ledger else EMPTY
        return Lock(
            paths=frozenset(str(path) for path in content["files"]),
            ledger=head,
            spec=dict(content["spec"]),
            fingerprints={
                str(identifier): str(facts["fingerprint"])
                for identifier, facts in content.get("certificates", {}).items()
            },
            etcd=EtcdMembership(
                **{key: tuple(map(str, names)) for key, names in content.get("etcd", {}).items()}
            ),
            keys={
                str(facts["spki"]): str(identifier)
                for identifier, facts in content.get("certificates", {}).items()
            },
        )
    except (MissingError, UnreadableError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
