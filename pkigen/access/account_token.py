"""A service account's token, signed here: whose it may be, how long it may live, and what is recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.keys import load_own_private
from pkigen.crypto.service_account_tokens import Claims, read, sign, token_facts
from pkigen.desired.generations import Slot, sa_path
from pkigen.errors import UsageError
from pkigen.notation import format_duration
from pkigen.spec.values import parse_uid
from pkigen.state.issuance_record import record
from pkigen.state.ledger import Event, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pkigen.crypto.issuance import Entropy
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import ClusterSpec
    from pkigen.state.observed import Reader
    from pkigen.store import Store

# A namespace's name is a label, a ServiceAccount's a subdomain (apimachinery, `pkg/api/validation`).
# Within a subdomain only the whole has a limit (`IsDNS1123Subdomain`).
_NAMESPACE = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_PART = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_ACCOUNT = re.compile(rf"({_NAMESPACE})/(?=[-.a-z0-9]{{1,253}}\Z)({_PART}(?:\.{_PART})*)")


def parse_account(text: str) -> tuple[str, str]:
    """The namespace and the name of a service account.

    Raises:
        UsageError: It is not both.
    """
    match = _ACCOUNT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--service-account must be a namespace, a slash and a name, not {text[:80]!r}",
            hint="such as --service-account kube-system/default",
        )
    return match[1], match[2]


def claims_of(
    inventory: Inventory,
    account: tuple[str, str],
    *,
    uid: str | None,
    audiences: Sequence[str],
    validity: timedelta,
    now: datetime,
) -> Claims:
    """What a token says.

    Args:
        inventory: Of the cluster whose API servers verify it.
        account: The namespace and the name of the service account.
        uid: The account's own UID; the spec's, where it is None.
        audiences: Whom it is for; the API server, where it is nobody.
        validity: How long it lives.
        now: The present, in UTC.

    Raises:
        UsageError: The UID is none, or the token would outlive what rotating the key waits for.
    """
    namespace, name = account
    cluster, trust = inventory.cluster, inventory.token_trust
    known = uid or _declared_uid(cluster, namespace, name)
    if known is not None:
        try:
            parse_uid(known)
        except ValueError as error:
            raise UsageError(f"--uid {error}") from None
    _require_bounded(validity, cluster.spec.service_accounts.max_token_lifetime)
    return Claims(
        issuer=trust.issuer,
        namespace=namespace,
        account=name,
        uid=known,
        audiences=tuple(audiences) or trust.audiences,
        # A NumericDate of the API server's own tokens has whole seconds, too (pkg/serviceaccount/claims.go
        # `Claims`).
        not_before=now.replace(microsecond=0),
        validity=validity,
    )


def _declared_uid(cluster: ClusterSpec, namespace: str, name: str) -> str | None:
    """The UID that the spec gives a service account; None where it gives none."""
    for user in cluster.spec.users:
        if user.is_service_account and (user.namespace, user.name) == (namespace, name):
            return user.uid
    return None


def _require_bounded(validity: timedelta, longest: timedelta) -> None:
    """Refuse a token that would outlive what `pkigen rotate sa` waits for before it drops the key."""
    if validity > longest:
        raise UsageError(
            f"--validity is longer than {format_duration(longest)}, the limit of this cluster",
            hint="spec.serviceAccounts.maxTokenLifetime sets it: rotating the key waits that long",
        )


def sign_token(
    claims: Claims,
    *,
    inventory: Inventory,
    store: Store,
    keys: Reader,
    now: datetime,
    entropy: Entropy,
) -> str:
    """Sign a token, and put it on record without its signature.

    Args:
        claims: What it says.
        inventory: Of this cluster.
        store: The PKI directory, held alone.
        keys: The same with its private files opened.
        now: The present, in UTC.
        entropy: Where the token's id comes from.

    Raises:
        MissingError: There is no service account key.
    """
    key = load_own_private(keys.read(sa_path(Slot.CURRENT, layout.SA_PRIVATE_KEY)).data)
    text = sign(claims, key, entropy=entropy)
    identifier = f"serviceaccount:{claims.namespace}:{claims.account}"
    entry = LedgerEntry(event=Event.SIGNED, id=identifier, reason=None, facts=token_facts(read(text)))
    # On record before it is handed out: what the ledger does not know cannot be named to revoke it.
    record(store, entry, now=now, keep_backups=inventory.cluster.spec.backups.keep)
    return text
