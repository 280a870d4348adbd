"""What a change leaves with people and nodes: credentials that work to their end, unless they are revoked.

What it leaves in the cluster, commands take away (`cluster_changes`).
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.ca_fitness import has_signed
from pkigen.crypto.names import subject_of
from pkigen.desired.certificates import SUPER_ADMIN, Holder
from pkigen.desired.generations import CA, InKubeconfig, Slot, ca_location
from pkigen.reconcile.plan import Remove
from pkigen.reconcile.token_checks import observe_token
from pkigen.state.ledger import CERTIFYING, lines_of, read_ledger
from pkigen.state.observed import observe_certificate
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Action
    from pkigen.state.observed import Reader


# No list of what is revoked keeps out who has these.
_MASTERS = (layout.CA_PRIVATE_KEY, layout.SA_PRIVATE_KEY, SUPER_ADMIN.name)


def with_remainders(actions: Iterable[Action], reader: Reader, inventory: Inventory) -> Iterator[Action]:
    """The same actions; those that leave something behind with people say what.

    Args:
        actions: What a plan does.
        reader: The PKI directory before it.
        inventory: What must exist after it.
    """
    for action in actions:
        details: tuple[str, ...] = ()
        if isinstance(action, Remove):
            details = tuple(_remainders(action, reader))
        # A token's subject changes too, with its issuer or its account; it has no groups.
        elif action.reason is Reason.SUBJECT_CHANGED and action.id in inventory.certificates:
            details = tuple(_lost_groups(inventory.certificates[action.id], reader))
        yield replace(action, details=(*action.details, *details)) if details else action


def _remainders(action: Remove, reader: Reader) -> Iterator[str]:
    """The credentials that stay with people, or with a node, of what goes here."""
    if action.node is not None and action.id == f"{layout.NODES}/{action.node}":
        yield from _of_node(action.node, action.paths)
    for path in action.paths:
        if path.startswith(f"{layout.USERS}/"):
            yield from _credential(reader, path)


def _of_node(node: str, paths: Iterable[str]) -> Iterator[str]:
    """What a node that leaves still has on its own disk: nothing here takes it away."""
    files = {posixpath.basename(path) for path in paths}
    masters = [name for name in _MASTERS if name in files]
    if masters:
        yield (
            f"the node keeps its files, {', '.join(masters)} among them: wipe it; who has read those is an "
            "administrator until they are rotated"
        )
    else:
        yield (
            "the node keeps its files, and its certificates work until they expire: wipe it, or `pkigen "
            f"access revoke node:{node}`"
        )


def _credential(reader: Reader, path: str) -> Iterator[str]:
    """Until when the credential in a kubeconfig works."""
    token = observe_token(reader, path).token
    certificate = observe_certificate(reader, InKubeconfig(kubeconfig=path)).certificate
    if token is not None:
        end = "without end" if token.expires is None else f"until {_minute(token.expires)}"
        yield f"the token in it works {end}, or until its ServiceAccount is deleted"
    elif certificate is not None and _is_proxys(certificate, reader):
        # clusterauthenticationtrust (pkg/controlplane) writes the union of what is there and its own.
        yield (
            "API servers believe it until they run without its name in --requestheader-allowed-names, "
            "aggregated ones until the ConfigMap that publishes the names is deleted after that: `kubectl -n "
            "kube-system delete configmap extension-apiserver-authentication`; it is written again at once"
        )
    elif certificate is not None:
        yield _certificate(certificate, reader)


def _is_proxys(certificate: x509.Certificate, reader: Reader) -> bool:
    """Whether it is for an authenticating proxy, who is believed by name and by no binding."""
    cas = (observe_certificate(reader, ca_location(CA.FRONT_PROXY, slot)).certificate for slot in Slot)
    return any(ca is not None and has_signed(ca, certificate) for ca in cas)


def _lost_groups(item: DesiredCertificate, reader: Reader) -> Iterator[str]:
    """The groups that earlier certificates of a person have, and the next one has not."""
    if item.kind.holder is not Holder.PERSON:
        return
    present = observe_certificate(reader, item.location).certificate
    groups = set(subject_of(present).organizations) if present is not None else set()
    if present is not None and (lost := sorted(groups - set(item.subject.organizations))):
        ends = (present.not_valid_after_utc, *_issued(item.subject.common_name, reader))
        yield (
            f"earlier certificates of {item.subject.common_name} are in {', '.join(lost)} until "
            f"{_minute(max(ends))}, unless `pkigen access revoke` ends them; what is bound there goes with "
            "its binding"
        )


def _certificate(certificate: x509.Certificate, reader: Reader) -> str:
    """A sentence about a person's certificates: removing the file does not end them."""
    subject = subject_of(certificate)
    # Also earlier ones: Kubernetes checks no CRL, so each works until it expires.
    ends = (certificate.not_valid_after_utc, *_issued(subject.common_name, reader))
    groups = f" and the groups {', '.join(subject.organizations)}" if subject.organizations else ""
    return (
        f"client certificates of {subject.common_name} work until {_minute(max(ends))}, unless `pkigen "
        f"access revoke` ends them; what is bound to the name{groups} goes with its binding"
    )


def _issued(person: str, reader: Reader) -> Iterator[datetime]:
    """The ends of all certificates that were ever issued to a person: renewed ones, and those of `sign`."""
    ledger, ids = read_ledger(reader), {f"user:{person}", f"request:{person}"}
    for event in CERTIFYING:
        for entry in lines_of(ledger, event):
            if entry.get("id") in ids:
                # One line of another form must not hide when the others end.
                with suppress(ValueError, KeyError, TypeError):
                    yield datetime.fromisoformat(entry["notAfter"]).astimezone(UTC)


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
