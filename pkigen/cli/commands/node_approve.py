"""`pkigen node approve`: what nodes ask for by file is judged, shown, issued, and answered by file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.airgap.bundles.contents import pack
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import fingerprint, parse_pin
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.media import read_file, require_place, write_file
from pkigen.airgap.enrolment.approval import Petition, Pins, admit, differing, review_petitions
from pkigen.airgap.enrolment.request import wanted
from pkigen.cli.commands.node_listing import listed
from pkigen.cli.commands.rescue_kit import require_settled
from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import SpecArgument, TemplatesOption, YesOption
from pkigen.cli.progress import progress
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.crypto.age import Recipient
from pkigen.errors import BundleError, PkigenError, UsageError
from pkigen.notation import timestamp
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.make import Approved
from pkigen.reconcile.surveyed import Selection
from pkigen.state.ledger import approvals, read_ledger
from pkigen.state.lockfile import read_lock
from pkigen.state.views import Opened
from pkigen.store import Store

if TYPE_CHECKING:
    from pkigen.airgap.carrier.csr_review import Reviewed
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader


@unlocked
def approve(
    context: typer.Context,
    spec: SpecArgument,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Requests, one of each node.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: one bundle for each node goes there.")
    ],
    *,
    pki: Annotated[
        Path | None,
        typer.Option("--pki", metavar="DIR", help="The PKI directory.  [default: ./<cluster name>]"),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            "--pin",
            metavar="[NODE=]FINGERPRINT",
            help="A node's request key, as `node request` printed it; with several files NODE=FINGERPRINT, "
            "once for each.  [default: the one approved last]",
        ),
    ] = None,
    yes: YesOption = False,
    unlocking: Unlocking,
    templates: TemplatesOption = None,
) -> None:
    """Judge nodes' requests against the spec, show all that it would issue, ask, issue, and pack the answers.

    All of the requests are approved, or none. An answer is a bundle without the node's private keys, sealed
    to the node. Approving the same request again issues nothing: the answer is packed again.
    """
    session = open_spec(system_of(context), spec, out=pki, templates=templates)
    session = session.with_keys(unlocking)
    pins = _pins(pin or (), session, len(files))
    require_place(out)
    carried = [(file, read_file(file, limit=LARGEST_BUNDLE)) for file in files]
    with session.writing("node approve") as store:
        session = session.at(store)
        petitions = _admitted(carried, session, store, pins)
        judged = review_petitions(petitions, session.inventory, store, read_lock(store))
        _require_flawless(judged, petitions)
        _require_same(judged, petitions, session, store)
        new = [petition for petition in petitions if not petition.approved_before]
        plan = _agreed(session, store, spec, new, yes=yes) if new else None
        vault = session.unlocking.vault(store)
        if plan is not None:
            entries = tuple(petition.approval.entry() for petition in new)
            delivery = Approved(keys=judged.keys, entries=entries)
            applied = apply_plan(plan, session.inventory, store, session.tools(vault), delivery=delivery)
            _say_kept_back(applied)
        require_settled(session, store, spec)
        _answer(session, Opened(store, vault), petitions, out)


def _pins(given: Iterable[str], session: Session, files: int) -> Pins:
    """What people have said about who signs for which node.

    Raises:
        UsageError: It is no fingerprint, or leaves open for which node it is.
    """
    nodes = {node.name for node in session.inventory.cluster.spec.nodes}
    alone: str | None = None
    by_node: dict[str, str] = {}
    for each in given:
        name, equals, text = each.rpartition("=")
        pin = parse_pin(text)
        if equals and name not in nodes:
            raise UsageError(f"--pin {each}: the spec has no node {name!r}")
        known = by_node.get(name) if equals else alone
        if known not in {None, pin}:
            raise UsageError(f"--pin says two keys for {name or 'one node'}: {known} and {pin}")
        if equals:
            by_node[name] = pin
        else:
            alone = pin
    if alone is not None and files > 1:
        raise UsageError(
            f"--pin {alone} does not say which node has this key, and there are {files} requests",
            hint="say it for each node: --pin NODE=FINGERPRINT",
        )
    return Pins(alone=alone, by_node=by_node)


def _admitted(
    carried: list[tuple[Path, bytes]], session: Session, store: Store, pins: Pins
) -> tuple[Petition, ...]:
    """The requests, in the order of the nodes' names.

    Raises:
        BundleError: One of them is to be refused; where there are several, every refusal was noted.
        UsageError: The spec does not leave a node's keys to the node, or two requests are of one node.
    """
    known = approvals(read_ledger(store))
    found: dict[str, tuple[Path, Petition]] = {}
    refused = 0
    for file, data in carried:
        try:
            petition = admit(data, session.inventory, known, pins=pins, now=session.now)
        except (BundleError, UsageError) as error:
            if len(carried) == 1:
                raise
            note(f"{file}: {error}")
            refused += 1
            continue
        if petition.node in found:
            raise UsageError(
                f"{found[petition.node][0]} and {file} are both requests of {petition.node}",
                hint="nothing was issued; approve the newer one",
            )
        found[petition.node] = file, petition
    if refused:
        raise BundleError(
            f"{refused} of {len(carried)} requests {'is' if refused == 1 else 'are'} refused",
            hint="nothing was issued for the others either; leave out what is refused, or have it made again",
        )
    return tuple(petition for _, (_, petition) in sorted(found.items()))


def _require_flawless(judged: Reviewed, petitions: tuple[Petition, ...]) -> None:
    for deviation in judged.deviations:
        note(str(deviation))
    count = len(judged.deviations)
    if count:
        of = f"request of {petitions[0].node} is" if len(petitions) == 1 else "requests are"
        raise BundleError(
            f"the {of} not what the spec asks for, in {count} {'place' if count == 1 else 'places'}",
            hint="nothing was issued; carry the present spec to the node, and there: "
            "`pkigen node request --anew`",
        )


def _require_same(judged: Reviewed, petitions: tuple[Petition, ...], session: Session, store: Store) -> None:
    """What was approved before must still be what was issued then."""
    for petition in petitions:
        if not petition.approved_before:
            continue
        keys = {identifier: judged.keys[identifier] for identifier, _ in petition.requests.requests}
        others = differing(keys, session.inventory.certificates, store)
        if others:
            raise BundleError(
                f"this request was approved before, and {', '.join(others)} is not for its key any more",
                hint=f"nothing was issued; `pkigen node request` on {petition.node} makes a new request",
            )
        whose = "this request" if len(petitions) == 1 else f"the request of {petition.node}"
        note(f"note: {whose} was approved before: nothing is issued, the answer is packed again")


def _agreed(session: Session, store: Store, spec: Path, petitions: list[Petition], *, yes: bool) -> Plan:
    """What is to be issued, once somebody has seen all of it and said yes."""
    items = {
        identifier: item
        for petition in petitions
        for identifier, item in wanted(session.inventory, petition.node).items()
    }
    plan = session.plan(store, Selection(requested=frozenset(items)))
    _require_nothing_else(plan, items, session, spec)
    say(listed(items.values(), plan))
    for petition in petitions:
        node = petition.node
        if petition.former_signer is not None:
            note(f"note: {node} signed its last request with another key: {petition.former_signer}")
        say(f"asked for by {node} at {timestamp(petition.requests.created)}, signed by {petition.signer}")
    if not yes and not agreed(f"issue these {len(items)} certificates?"):
        raise PkigenError("not approved", hint="nothing was issued")
    return plan


def _require_nothing_else(
    plan: Plan, items: dict[str, DesiredCertificate], session: Session, spec: Path
) -> None:
    others = [action for action in plan.changes if action.id not in items]
    if others:
        first = others[0]
        raise BundleError(
            f"{session.root} is not what the spec asks for: {len(others)} other changes are pending, "
            f"the first being {first.verb} {first.id}",
            hint=f"nothing was issued; `pkigen apply {spec} --out {session.root}` first",
        )


def _say_kept_back(applied: Applied) -> None:
    for identifier in applied.capped:
        note(f"note: {identifier} was shortened to its CA's end; `pkigen rotate ca` makes room")


def _answer(session: Session, store: Reader, petitions: tuple[Petition, ...], out: Path) -> None:
    nodes = {node.name: node for node in session.inventory.cluster.spec.nodes}
    key = bundle_key(store)
    bars = progress()
    bars.begin("packing", len(petitions))
    packed = pack(session.inventory, store, tuple(nodes[petition.node] for petition in petitions))
    said = []
    for petition, each in zip(petitions, packed, strict=True):
        seal = Recipient(petition.recipient)
        label = each.label(created=session.now, reader=seal.reader)
        file = out / f"{label.cluster}.{label.node}.bundle"
        try:
            write_file(file, write_bundle(label, each.archive, seal=seal, key=key))
        except PkigenError as error:
            raise PkigenError(
                error.message, hint="what was asked for is issued: run this again, and it packs the answers"
            ) from None
        bars.step()
        said.append(
            f"{file}: {len(each.manifest.files)} files, serial {label.serial}, sealed for {seal.reader}"
        )
    say("\n".join(said))
    say(f"signed by bundle key {fingerprint(key.public)}")
    if len(petitions) == 1:
        note(
            f"next: carry the file to {petitions[0].node}; there: `pkigen bundle install {file.name} --pin …`"
        )
    else:
        note("next: carry each file to its node; there: `pkigen bundle install FILE --pin …`")
