"""The objects that the addons make, and what of them the cluster may hold that is not what it should.

`kubectl apply` deletes nothing that a manifest no longer holds, and pkigen speaks to no API server. So the
ledger remembers what a change has superseded, until somebody says that the cluster has got what replaces it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.errors import SpecError
from pkigen.records import dataclass
from pkigen.spec.yaml_source import read_documents
from pkigen.state.ledger import Event, LedgerEntry, lines_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterObject:
    """An object that a manifest makes; `namespace` is None for the whole cluster's."""

    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        place = "" if self.namespace is None else f" in namespace {self.namespace}"
        return f"{self.kind} {self.name}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectForm:
    """What an object is: the digest of its manifest, and of a binding the role, which nobody can change.

    The API server refuses another roleRef (`ValidateRoleBindingUpdate`): such a binding is made anew.
    """

    sha256: str
    role: str | None = None


Held = dict[ClusterObject, frozenset[ObjectForm | None]]
"""What the cluster may hold of each object, as far as that is not what it should; None is nothing."""


def objects(manifest: bytes | None) -> dict[ClusterObject, ObjectForm]:
    """The objects of a manifest, as far as it can be read."""
    try:
        documents, _ = read_documents(manifest or b"", file="")
    except SpecError:
        return {}
    found = (_object(document.value) for document in documents)
    return dict(each for each in found if each is not None)


def _object(content: object) -> tuple[ClusterObject, ObjectForm] | None:
    """What a document of an addon is about; None where it is no object of Kubernetes."""
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        return None
    kind, metadata = content.get("kind"), content["metadata"]
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    # Sorted: another order of the fields, or another style of the YAML, is no other object.
    text = json.dumps(content, sort_keys=True, default=str)
    role = content.get("roleRef")
    return (
        ClusterObject(kind=kind, name=name, namespace=namespace if isinstance(namespace, str) else None),
        ObjectForm(
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            role=f"{role.get('kind')} {role.get('name')}" if isinstance(role, dict) else None,
        ),
    )


def superseded(before: Mapping[str, Collection[bytes]], after: Mapping[str, bytes | None]) -> Held:
    """What a change leaves the cluster with, until its manifests are applied.

    Args:
        before: By path, every content that the cluster may have been given.
        after: By path, what the change makes of it; None where it goes.
    """
    # Reading what stays the same costs most of the time with many users.
    changed = [path for path, manifests in before.items() if set(manifests) != {after.get(path)}]
    old = _gathered(manifest for path in changed for manifest in before[path])
    new = _gathered(after.get(path) for path in changed)
    found: Held = {}
    for each in (*old, *(each for each in new if each not in old)):
        # What is to be there and has been before is no reason to do anything.
        outdated = old.get(each, frozenset({None})) - new.get(each, frozenset({None}))
        if outdated:
            found[each] = outdated
    return found


def _gathered(manifests: Iterable[bytes | None]) -> Held:
    """All forms of each object of several manifests."""
    found: Held = {}
    for manifest in manifests:
        for each, form in objects(manifest).items():
            found[each] = found.get(each, frozenset()) | {form}
    return found


def entries(held: Held) -> Iterator[LedgerEntry]:
    """The lines that remember what a change has superseded."""
    for each, forms in held.items():
        facts: dict[str, str | int | list[str]] = {"kind": each.kind, "name": each.name}
        if each.namespace is not None:
            facts["namespace"] = each.namespace
        facts["held"] = sorted(_ABSENT if form is None else _text(form) for form in forms)
        yield LedgerEntry(event=Event.SUPERSEDED, id=str(each), reason=None, facts=facts)


def confirmation(confirmed: Iterable[ClusterObject]) -> LedgerEntry:
    """The line that says that the cluster has got everything until now."""
    return LedgerEntry(
        event=Event.APPLIED,
        id=layout.ADDONS,
        reason=None,
        facts={"objects": [str(each) for each in confirmed]},
    )


def unconfirmed(ledger: bytes) -> Held:
    """What the cluster may still hold, since somebody said last that it has got everything."""
    last = next((_sequence(line) for line in lines_of(ledger, Event.APPLIED, newest_first=True)), 0)
    found: Held = {}
    for line in lines_of(ledger, Event.SUPERSEDED):
        # A line that was tampered with counts: rather asked once more than a right that nobody sees.
        if 0 < _sequence(line) <= last:
            continue
        each, forms = _remembered(line)
        found[each] = found.get(each, frozenset()) | forms
    return found


def merged(*helds: Held) -> Held:
    """Several of them as one."""
    found: Held = {}
    for held in helds:
        for each, forms in held.items():
            found[each] = found.get(each, frozenset()) | forms
    return found


def _sequence(line: dict[str, Any]) -> int:
    number = line.get("sequence")
    return number if isinstance(number, int) else 0


def _remembered(line: dict[str, Any]) -> tuple[ClusterObject, frozenset[ObjectForm | None]]:
    namespace, held = line.get("namespace"), line.get("held")
    each = ClusterObject(
        kind=str(line.get("kind")),
        name=str(line.get("name")),
        namespace=None if namespace is None else str(namespace),
    )
    return each, frozenset(map(_form, held if isinstance(held, list) else ()))


def _text(form: ObjectForm) -> str:
    return f"{form.sha256} {form.role}" if form.role is not None else form.sha256


def _form(text: object) -> ObjectForm | None:
    if text == _ABSENT:
        return None
    digest, _, role = str(text).partition(" ")
    return ObjectForm(sha256=digest, role=role or None)
