"""`pkigen token`: a service account's token, signed offline."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen import layout
from pkigen.access.kubeconfigs import assemble
from pkigen.cli.access_input import PkiOption, Reaching, open_cluster, reaching, require_pki, trust_bundle
from pkigen.cli.console import note, say
from pkigen.cli.outputs import require_writable, write_secret
from pkigen.cli.session import Session
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.crypto.keys import load_own_private
from pkigen.crypto.service_account_tokens import Claims, read, sign, token_facts
from pkigen.desired.generations import SA, Phase, Slot, sa_path
from pkigen.errors import UsageError
from pkigen.notation import format_duration
from pkigen.spec.values import parse_uid
from pkigen.state.issuance_record import record
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.store import Store

app = typer.Typer(add_completion=False)

_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_ACCOUNT = re.compile(rf"({_LABEL})/({_LABEL}(?:\.{_LABEL}){{0,100}})")


@app.command()
@reaching
@unlocked
def token(
    context: typer.Context,
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC|DIR", help="The cluster: its spec, or its PKI directory.")
    ] = Path(),
    *,
    service_account: Annotated[
        str, typer.Option("--service-account", metavar="NAMESPACE/NAME", help="Whose token.")
    ],
    uid: Annotated[
        str | None,
        typer.Option(
            "--uid", metavar="UID", help="The account's own; without it the API server takes no token."
        ),
    ] = None,
    audience: Annotated[
        list[str] | None,
        typer.Option(
            "--audience", metavar="AUDIENCE", help="Whom it is for; repeat it.  [default: the API server]"
        ),
    ] = None,
    validity: Annotated[str, typer.Option("--validity", metavar="DURATION", help="How long.")] = "1h",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--kubeconfig", metavar="FILE", help="Write a kubeconfig with it, 0600, instead of printing it."
        ),
    ] = None,
    way: Reaching,
    pki: PkiOption = None,
    unlocking: Unlocking,
) -> None:
    """Sign a service account's token offline, for bootstrap and break-glass.

    It has the form of the API server's own bound tokens. The ledger has it on record, without its signature.
    """
    home, name = _account(service_account)
    lifetime = duration(validity, "--validity")
    if any(not each or not each.isprintable() for each in audience or ()):
        raise UsageError("--audience must be printable text")
    if kubeconfig is not None:
        require_writable(kubeconfig)
    session = open_cluster(system_of(context), spec, pki=pki)
    session = session.with_keys(unlocking)
    require_pki(session)
    known = uid or _declared_uid(session, home, name)
    if known is not None:
        try:
            parse_uid(known)
        except ValueError as error:
            raise UsageError(f"--uid {error}") from None
    cluster = session.inventory.cluster
    _bounded(lifetime, cluster.spec.service_accounts.max_token_lifetime)
    claims = Claims(
        issuer=cluster.token_issuer,
        namespace=home,
        account=name,
        uid=known,
        audiences=tuple(audience) if audience else cluster.api_audiences,
        not_before=session.now.replace(microsecond=0),
        validity=lifetime,
    )
    with session.writing("token") as store:
        session = session.at(store)
        text = _signed(session, store, claims)
        bundle = trust_bundle(session, store) if kubeconfig is not None else b""
    _say_limits(session, claims)
    if kubeconfig is None:
        say(text)
        return
    access = way.access(cluster, trust_bundle=bundle, user=f"{home}:{name}", home=home)
    write_secret(kubeconfig, assemble(access, {"token": text}))
    note(f"kubeconfig: {kubeconfig}")


def _account(text: str) -> tuple[str, str]:
    match = _ACCOUNT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--service-account must be a namespace, a slash and a name, not {text[:80]!r}",
            hint="such as --service-account kube-system/default",
        )
    return match[1], match[2]


def _bounded(lifetime: timedelta, longest: timedelta) -> None:
    """No token may outlive what `pkigen rotate sa` waits for before it drops the key that signed it."""
    if lifetime > longest:
        raise UsageError(
            f"--validity is longer than {format_duration(longest)}, which tokens may live here",
            hint="spec.serviceAccounts.maxTokenLifetime says so: rotating the key waits as long",
        )


def _declared_uid(session: Session, namespace: str, name: str) -> str | None:
    for user in session.inventory.cluster.spec.users:
        if user.is_service_account and (user.namespace, user.name) == (namespace, name):
            return user.uid
    return None


def _signed(session: Session, store: Store, claims: Claims) -> str:
    key = load_own_private(session.opened(store).read(sa_path(Slot.CURRENT, layout.SA_PRIVATE_KEY)).data)
    text = sign(claims, key, entropy=session.system.entropy)
    identifier = f"serviceaccount:{claims.namespace}:{claims.account}"
    entry = LedgerEntry(event=Event.SIGNED, id=identifier, reason=None, facts=token_facts(read(text)))
    record(store, entry, now=session.now, keep_backups=session.inventory.cluster.spec.backups.keep)
    return text


def _say_limits(session: Session, claims: Claims) -> None:
    until = f"{claims.expires:%Y-%m-%d %H:%M} UTC"
    note(f"signed: {claims.subject} for {', '.join(claims.audiences)} until {until}")
    if claims.uid is None:
        note(
            "warning: it has no UID, so the API server refuses it (it compares it with the live object's); "
            "only others that verify by the published keys take it"
        )
        note(
            f"hint: --uid $(kubectl -n {claims.namespace} get serviceaccount {claims.account} "
            "-o jsonpath='{.metadata.uid}')"
        )
    if not set(claims.audiences) & set(session.inventory.cluster.api_audiences):
        note("note: the API server itself refuses it: it is for others")
    note("note: it is bound to no Pod, and nobody can revoke it but by deleting the service account")
    if session.inventory.rotations.phase(SA) is Phase.PROMOTED:
        note("note: the service account key rotates: API servers that lack the promoted key refuse it")
