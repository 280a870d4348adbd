"""What a change leaves in the cluster: objects that nobody deletes, credentials that work to their end.

`kubectl apply` deletes nothing that a manifest no longer holds, and Kubernetes knows no revocation: what the
spec takes back from a person stays until somebody deletes it there.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.names import subject_of
from pkigen.desired.generations import InKubeconfig
from pkigen.desired.items import DesiredFile
from pkigen.errors import SpecError
from pkigen.reconcile.plan import Keep, Remove
from pkigen.reconcile.token_checks import observe_token
from pkigen.spec.yaml_source import read_documents
from pkigen.state.ledger import CERTIFYING, lines_of, read_ledger
from pkigen.state.observed import content_at, observe_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.plan import Action
    from pkigen.state.observed import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterObject:
    """An object that a manifest makes; `namespace` is None for the whole cluster's."""

    kind: str
    name: str
    namespace: str | None

    def __str__(self) -> str:
        place = "" if self.namespace is None else f" in namespace {self.namespace}"
        return f"{self.kind} {self.name}{place}"

    @property
    def deletion(self) -> str:
        """The command that deletes it."""
        place = () if self.namespace is None else ("--namespace", self.namespace)
        return shlex.join(("kubectl", "delete", self.kind.lower(), self.name, *place))


def with_remainders(
    actions: Iterable[Action], inventory: Inventory, reader: Reader, renderer: Renderer
) -> Iterator[Action]:
    """The same actions; those that leave something behind say what.

    Args:
        actions: What a plan does.
        inventory: What must exist after it.
        reader: The PKI directory before it.
        renderer: Says what the manifests will hold.
    """
    for action in actions:
        details = () if isinstance(action, Keep) else tuple(_remainders(action, inventory, reader, renderer))
        yield replace(action, details=(*action.details, *details)) if details else action


def _remainders(action: Action, inventory: Inventory, reader: Reader, renderer: Renderer) -> Iterator[str]:
    """What stays behind in the cluster, or with people, of what an action takes away here."""
    for path in action.paths:
        top = path.partition("/")[0]
        # Nothing here reaches the cluster: `kubectl apply` of a file that lacks an object does not delete it,
        # and neither does a file that is gone.
        if top == layout.ADDONS:
            # A manifest that goes altogether keeps nothing; one that is rewritten keeps what it still has.
            wanted = (item for item in inventory.items if isinstance(item, DesiredFile) and item.path == path)
            kept = {each for item in wanted for each in objects(renderer.file(item))}
            yield from _objects(reader, path, kept)
        # A credential that is replaced is another matter: the renewed one takes its place.
        elif top == layout.USERS and isinstance(action, Remove):
            yield from _credential(reader, path)


def _objects(reader: Reader, path: str, kept: set[ClusterObject]) -> Iterator[str]:
    """The objects of a manifest that its next content does not have."""
    for each in objects(content_at(reader, path) or b""):
        if each not in kept:
            yield f"{each} stays in the cluster until it is deleted: `{each.deletion}`"


def objects(manifest: bytes) -> tuple[ClusterObject, ...]:
    """The objects of a manifest, as far as it can be read."""
    try:
        # Somebody may have edited it: what cannot be read leaves nothing that could be named.
        documents, _ = read_documents(manifest, file="")
    except SpecError:
        return ()
    return tuple(found for document in documents if (found := _object(document.value)) is not None)


def _object(content: object) -> ClusterObject | None:
    """What a document of an addon is about; None where it is no object of Kubernetes."""
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        return None
    kind, metadata = content.get("kind"), content["metadata"]
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    return ClusterObject(kind=kind, name=name, namespace=namespace if isinstance(namespace, str) else None)


def _credential(reader: Reader, path: str) -> Iterator[str]:
    """Until when the credential in a kubeconfig works."""
    token = observe_token(reader, path).token
    certificate = observe_certificate(reader, InKubeconfig(kubeconfig=path)).certificate
    if token is not None:
        end = "without end" if token.expires is None else f"until {_minute(token.expires)}"
        yield f"the token in it works {end}, or until its ServiceAccount is deleted"
    elif certificate is not None:
        yield _certificate(certificate, reader)


def _certificate(certificate: x509.Certificate, reader: Reader) -> str:
    """A sentence about a person's certificates: removing the file does not end them."""
    subject = subject_of(certificate)
    # Also earlier ones: Kubernetes checks no CRL, so each works until it expires.
    ends = (certificate.not_valid_after_utc, *_issued(subject.common_name, reader))
    groups = f" and the groups {', '.join(subject.organizations)}" if subject.organizations else ""
    return (
        f"client certificates of {subject.common_name} work until {_minute(max(ends))} and cannot be "
        f"revoked; only what is bound to the name{groups} can be taken away"
    )


def _issued(person: str, reader: Reader) -> Iterator[datetime]:
    """The ends of all certificates that were ever issued to a person: renewed ones, and those of `sign`."""
    ledger, ids = read_ledger(reader), {f"user:{person}", f"request:{person}"}
    for event in CERTIFYING:
        for entry in lines_of(ledger, event):
            if entry.get("id") in ids:
                with suppress(ValueError, KeyError, TypeError):
                    yield datetime.fromisoformat(entry["notAfter"]).astimezone(UTC)


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
