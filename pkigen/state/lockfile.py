"""`pki.lock`: the inventory as issued. Deterministic, sorted, free of secrets; to be committed to Git.

It is made from what is on disk, so two runs over the same tree give the same bytes, and the difference
between two of them reads like the change that it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.crypto.issuance import fingerprint
from pkigen.crypto.keys import describe, public_der, spki_fingerprint
from pkigen.crypto.names import sans_of, subject_of
from pkigen.desired.adopted import Adopted
from pkigen.desired.inventory import EtcdMembership
from pkigen.desired.overrides import OverrideRecord
from pkigen.desired.revocations import Revocation
from pkigen.errors import PkigenError
from pkigen.notation import json_text, timestamp
from pkigen.records import dataclass
from pkigen.state.ledger import EMPTY, Head
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from pkigen.spec.model import ClusterSpec
    from pkigen.state.observed import Reader

logger = logging.getLogger(__name__)

# In bytes: it is read whole, and its like is written for thousands of nodes.
LARGEST_LOCK = 1 << 28
# A later pkigen that writes something else calls it otherwise.
FORMAT = "pkigen/v1"
# In levels: the spec in it has 64 at most (`spec.yaml_source`). What nests deeper may be decoded, and not
# be encoded again.
_DEEPEST = 100


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
    adopted: dict[str, Adopted]
    """What was taken over from another maker and stands as it was found, by id."""
    templates: OverrideRecord | None
    """The templates that the files were rendered from, where they are not pkigen's own."""
    revoked: tuple[Revocation, ...]
    """The credentials that API servers must refuse."""
    authority: dict[str, str] | None
    """The identity of each of the authority's keys, by path; None where an older pkigen has left it out."""

    def over(self, now: datetime) -> tuple[Revocation, ...]:
        """What is still listed and has expired."""
        return tuple(each for each in self.revoked if each.is_over(now))

    def said(self, *names: str) -> Any:
        """What the last spec said at a place; None where nothing, or not what a spec says."""
        found: Any = self.spec
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def cluster(self) -> ClusterSpec:
        """The spec that the directory was last made from.

        Raises:
            PkigenError: It is no valid spec for this pkigen.
        """
        from pkigen.spec.model import ClusterSpec  # noqa: PLC0415 -- only those without a spec file need it

        try:
            return ClusterSpec.model_validate(self.spec)
        # A pkigen that is older or newer may know other fields; the spec itself is with whoever applies it.
        except ValueError:
            raise PkigenError(
                f"the spec in {layout.LOCK_FILE} is not valid for this pkigen",
                hint="apply the spec's own file again: `pkigen apply SPEC`",
            ) from None


def with_ledger(data: bytes, ledger: Head) -> bytes:
    """A lock file that was read, with another end of the ledger and nothing else changed.

    Raises:
        ValueError: It is none.
    """
    content = _content(data)
    content["ledger"] = head(ledger)
    return json_text(content)


def with_authority(data: bytes, authority: dict[str, str]) -> bytes:
    """A lock file that was read, with other keys of the authority and nothing else changed.

    Raises:
        ValueError: It is none.
    """
    content = _content(data)
    entries = {}
    # In the place where `reconcile.lock_builder` puts it: the same state has the same bytes.
    for key, value in content.items():
        entries[key] = value
        if key == "ledger":
            entries["authority"] = authority
    return json_text({**entries, "authority": authority})


def head(ledger: Head) -> dict[str, int | str]:
    """How far the ledger reached when the lock was written."""
    return {"entries": ledger.entries, "head": ledger.hash}


def spec_facts(cluster: ClusterSpec) -> dict[str, Any]:
    """The spec as it was understood, nodes, users and groups by name, without what is default anyway."""
    content: dict[str, Any] = cluster.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content = {"apiVersion": cluster.api_version, "kind": cluster.kind, **content}
    # Moving a node within the spec changes nothing, and so must not change the lock file.
    for key in ("nodes", "users", "groups"):
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
        # In hex, as openssl and browsers show it.
        "serial": f"{certificate.serial_number:x}",
        "notBefore": timestamp(certificate.not_valid_before_utc),
        "notAfter": timestamp(certificate.not_valid_after_utc),
        "key": describe(key),
        "fingerprint": told_fingerprint(certificate),
        "spki": spki_fingerprint(public_der(key)),
    }


def told_fingerprint(certificate: x509.Certificate) -> str:
    """By what the lock file and the ledger know a certificate."""
    return f"sha256:{fingerprint(certificate)}"


def lock_digest(data: bytes) -> str:
    """What the ledger knows a lock file by: everything in it but where the ledger ends.

    Raises:
        ValueError: It is no JSON object.
    """
    content = _content(data)
    # The ledger's line holds this digest, and its hash goes into the lock file: with
    # it, each needs the other first.
    content.pop("ledger", None)
    return content_digest(content)


def content_digest(content: dict[str, Any]) -> str:
    """The digest of what a lock file says beside where the ledger ends."""
    return hashlib.sha256(json_text(content)).hexdigest()


def _templates(content: dict[str, str] | None) -> OverrideRecord | None:
    if content is None:
        return None
    return OverrideRecord(directory=str(content["directory"]), sha256=str(content["sha256"]))


def _revoked(content: dict[str, Any]) -> tuple[Revocation, ...]:
    return tuple(Revocation.read(str(credential), facts) for credential, facts in content.items())


def _authority(content: dict[str, str] | None) -> dict[str, str] | None:
    """The authority's keys as texts, whatever stands there; None is kept apart from none."""
    return None if content is None else {str(path): str(identity) for path, identity in content.items()}


def read_lock(reader: Reader) -> Lock | None:
    """The lock file that an earlier run wrote; None where there is none or it cannot be understood.

    Raises:
        RefusedError: The system does not let it be read: nobody knows what earlier runs wrote.
    """
    try:
        lock = _decoded(reader.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data)
    # Not RefusedError: what the system withholds must not be taken for a directory that is new.
    except (MissingError, UnreadableError):
        logger.debug("%s is missing or unreadable", layout.LOCK_FILE)
        return None
    if lock is None:
        logger.debug("%s is no lock file", layout.LOCK_FILE)
        return None
    logger.info(
        "read %s: %d files, %d ledger entries", layout.LOCK_FILE, len(lock.paths), lock.ledger.entries
    )
    return lock


def _content(data: bytes) -> dict[str, Any]:
    """A lock file as an object that can be written again.

    Raises:
        ValueError: It is not JSON, no object, or nested as no lock file is.
    """
    try:
        content = json.loads(data)
    # `json` raises it where brackets nest too deeply, and it is no ValueError.
    except RecursionError:
        raise ValueError from None
    if isinstance(content, dict) and not _is_deep(content):
        return content
    raise ValueError


def _is_deep(content: dict[str, Any]) -> bool:
    """Whether an object is nested as no lock file is."""
    inner: list[Any] = [content]
    for _ in range(_DEEPEST):
        inner = [
            member
            for outer in inner
            for member in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(member, dict | list)
        ]
        if not inner:
            return False
    return True


# The one that lies there, and the one that a change makes of it.
@lru_cache(maxsize=2)
def _decoded(data: bytes) -> Lock | None:
    """What a lock file says; a command asks several times, and thousands of nodes are long to decode."""
    try:
        content = _content(data)
        # Where it names none, the whole ledger counts as what has come since.
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
            adopted={
                str(identifier): Adopted(
                    **{field: str(record[field]) for field in ("found", "wanted", "modes")}
                )
                for identifier, record in content.get("adopted", {}).items()
            },
            templates=_templates(content.get("templates")),
            revoked=_revoked(content.get("revoked", {})),
            authority=_authority(content.get("authority")),
        )
    # Whatever it holds, it is made again from the tree, and nothing that it does not name is removed.
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
