"""`pkigen renew`: new validity for the same content."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.commands.apply import Consent, change, require_renewals_only
from pkigen.cli.console import note
from pkigen.cli.options import (
    Format,
    FormatOption,
    OutOption,
    RunbookOption,
    SpecArgument,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.desired.generations import CA, Phase, ca_id
from pkigen.desired.inventory import Inventory
from pkigen.errors import AuthorityError, RotationError, UsageError
from pkigen.notation import residual
from pkigen.reconcile.surveyed import Selection
from pkigen.spec.model import CAKeys
from pkigen.state.authority import look_at_all

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def renew(
    context: typer.Context,
    spec: SpecArgument,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="kubeadm's names (apiserver, admin.conf, …) for every node, cp-1/apiserver for one node's, "
            "user:dev1 for a person's, serviceaccount:web:bot for a token.",
        ),
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Renew every leaf certificate.")] = False,
    within: Annotated[
        str | None,
        typer.Option(
            "--within",
            metavar="DURATION",
            help="Renew what expires within this time.  [default: renewBefore]",
        ),
    ] = None,
    reuse_keys: Annotated[
        bool, typer.Option("--reuse-keys", help="Keep the private keys instead of making new ones.")
    ] = False,
    out: OutOption = None,
    yes: YesOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Renew certificates: the same content with a new validity.

    Every kubeconfig that embeds one is written anew.
    Without names, what is inside its renewBefore is renewed; with names, nothing else. A CA is renewed only
    by its name (ca, etcd-ca, front-proxy-ca), alone, and keeps its key: `pkigen renew SPEC ca`, or
    `pkigen renew ca SPEC`.
    """
    spec, names = _in_order(spec, names or [])
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    if (every or within) and names:
        raise UsageError("names do not go together with --all or --within", hint="give one of them")
    if every:
        ids = frozenset(_leaves(session.inventory))
    else:
        ids = frozenset(identifier for name in names for identifier in ids_of(session.inventory, name))
    _require_keys_here(session.inventory, names, ids)
    window = duration(within, "--within") if within else None
    authorities = ids & _AUTHORITIES
    if authorities:
        _require_renewable(session, authorities, alone=ids == authorities)
    else:
        _say_ending_authorities(session)
    change(
        session,
        "renew",
        consent=Consent(yes=yes),
        output=output,
        review=require_renewals_only,
        selection=Selection(within=window, ids=ids, only=bool(names)),
        reuse_keys=reuse_keys,
        runbook=runbook,
    )


_AUTHORITIES = frozenset(ca_id(ca) for ca in CA)
_PEOPLES_NAMES = {"kubernetes": "ca", "etcd": "etcd-ca", "front-proxy": "front-proxy-ca"}


def _in_order(spec: Path, names: list[str]) -> tuple[Path, list[str]]:
    """Take `renew ca SPEC` and `renew ca etcd SPEC` for what they say: the spec comes last there."""
    if str(spec) not in _AUTHORITIES or not names or spec.exists():
        return spec, names
    *more, last = names
    if str(spec) == "ca" and more and all(name in _PEOPLES_NAMES for name in more):
        return Path(last), [_PEOPLES_NAMES[name] for name in more]
    return Path(last), [str(spec), *more]


def _require_renewable(session: Session, identifiers: frozenset[str], *, alone: bool) -> None:
    """Renewing a CA is cheap, and cures nothing but its end: say so, and refuse what it is not."""
    if not alone:
        raise UsageError("a CA is renewed alone", hint="renew the other certificates afterwards")
    with session.reading() as store:
        found = session.at(store)
        authorities, _ = look_at_all(store, found.inventory, now=found.now)
    for ca in (ca for ca in authorities if ca_id(ca) in identifiers):
        name = ca.certificate_name
        phase = found.inventory.rotations.phase(name)
        if phase is not Phase.STABLE:
            raise RotationError(
                f"{name} is being rotated ({phase})", hint="finish the rotation, or roll it back, then renew"
            )
        certificate = authorities[ca].certificate
        if found.inventory.is_signed_offline(found.inventory.certificates[name]):
            raise AuthorityError(
                f"{name} comes from the offline authority: only that can renew it",
                hint=_how_to_renew(found, name),
            )
        if certificate.subject != certificate.issuer:
            raise AuthorityError(
                f"{name} is an intermediate of yours: only whoever signed it can renew it",
                hint="have it renewed there, put it in its place, then `pkigen apply`",
            )
    note(
        "note: the CA keeps its key, so all that it has signed stays good, and the discovery hash stays the "
        "same; that does not cure a leak: if others may have the key, `pkigen rotate ca`"
    )


def _how_to_renew(session: Session, name: str) -> str:
    if session.inventory.ca_keys is CAKeys.SITE:
        return f"ask for it: `pkigen authority request SPEC {name} --out {session.root}`"
    return f"there: `pkigen authority renew SPEC {name}`; the next answer brings it along"


def _require_keys_here(inventory: Inventory, names: list[str], ids: frozenset[str]) -> None:
    """Where a node alone has the key, only the node can ask for a new certificate."""
    items = [inventory.certificates[identifier] for identifier in ids if identifier in inventory.certificates]
    if names and items and all(item.key_is_elsewhere for item in items):
        nodes = sorted({str(item.node) for item in items})
        raise UsageError(
            f"the private key of {', '.join(names)} is on {', '.join(nodes)} alone: only the node can ask",
            hint="`pkigen node request --out MEDIUM SPEC` there, then `pkigen node approve` here",
        )


def _leaves(inventory: Inventory) -> tuple[str, ...]:
    leaves = (identifier for identifier, item in inventory.certificates.items() if item.issuer is not None)
    return (*leaves, *inventory.tokens)


def ids_of(inventory: Inventory, name: str) -> tuple[str, ...]:
    """The leaves that a name on the command line means: one node's, or all nodes' of that name."""
    if name in inventory.tokens:
        return (name,)
    certificates = inventory.certificates
    found = tuple(identifier for identifier, item in certificates.items() if name in {identifier, item.name})
    if not found:
        names = sorted({item.name for item in certificates.values() if item.issuer is not None})
        near = get_close_matches(name, [*names, *certificates, *inventory.tokens], n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
        if name == "all":  # kubeadm's word for it
            hint = "every leaf is renewed by --all"
        raise UsageError(f"there is no certificate {name!r} in this cluster", hint=hint)
    if any(
        certificates[identifier].issuer is None and identifier not in _AUTHORITIES for identifier in found
    ):
        raise UsageError(
            f"{name} is a CA of a rotation that is under way", hint="finish the rotation, or roll it back"
        )
    return found


def _say_ending_authorities(session: Session) -> None:
    """A leaf cannot be renewed beyond its CA's end: say so while there is time."""
    longest = session.inventory.cluster.spec.certificates.validity
    with session.reading() as store:
        session = session.at(store)
        authorities, _ = look_at_all(store, session.inventory, now=session.now)
    for ca, found in authorities.items():
        end = found.certificate.not_valid_after_utc
        if end - session.now < longest:
            note(
                f"note: the {ca.certificate_name} CA itself ends {end:%Y-%m-%d}, in "
                f"{residual(end - session.now)}: what it signs ends with it; `pkigen rotate ca` makes room"
            )
