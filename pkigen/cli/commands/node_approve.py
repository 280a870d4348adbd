"""`airgap node approve`: what nodes request by file is reviewed, shown, issued, and answered by file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pkigen.airgap.bundles.contents import pack, require_settled
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.media import read_file, require_place, write_file
from pkigen.airgap.enrolment.approval import (
    DeviatingError,
    Petition,
    Pins,
    RefusedPetitionsError,
    admit_all,
    certificates_for,
    require_nothing_else,
    require_same,
    review_petitions,
)
from pkigen.cli.console import agreed, note, say, say_line, width
from pkigen.cli.document import document
from pkigen.cli.options import DirectoryOption, Format, FormatOption, TemplatesOption, YesOption
from pkigen.cli.progress import progress
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.node_listing import keys_listed, listed
from pkigen.cli.reports.tables import page
from pkigen.cli.session import Session, open_cluster
from pkigen.cli.spec_input import named_spec
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.crypto.age import Recipient
from pkigen.errors import PkigenError
from pkigen.notation import timestamp
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.source import ApprovedKeys
from pkigen.reconcile.surveyed import Selection
from pkigen.state.ledger import approvals, read_ledger
from pkigen.state.lockfile import read_lock
from pkigen.state.views import OpenedView
from pkigen.store import Store

if TYPE_CHECKING:
    from pkigen.airgap.carrier.csr_review import Reviewed
    from pkigen.airgap.carrier.format import Label
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader


@unlocked
def approve(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[SPEC] FILE",
            help="Requests, one of each node; what ends in .yaml, .yml or .json is the spec.",
        ),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: one bundle for each node goes there.")
    ],
    directory: DirectoryOption = None,
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
    output: FormatOption = Format.TEXT,
) -> None:
    """Compare nodes' requests with the spec, show what would be issued, ask, issue, and pack the answers.

    All of the requests are approved, or none. An answer is a bundle without the node's private keys, sealed
    to the node. Approving the same request again issues nothing: the answer is packed again.
    """
    spec, names = named_spec(arguments)
    files = [Path(name) for name in names]
    session = open_cluster(context, spec, directory, templates=templates)
    session = session.with_keys(unlocking)
    nodes = {node.name for node in session.inventory.cluster.spec.nodes}
    pins = Pins.of_texts(pin or (), nodes=nodes, requests=len(files))
    require_place(out)
    carried = [(file, read_file(file, limit=LARGEST_BUNDLE)) for file in files]
    with document(output) as content, session.writing("node approve") as store:
        session = session.at(store)
        petitions, reviewed = _reviewed(carried, session, store, pins)
        new = [petition for petition in petitions if not petition.approved_before]
        plan = _agreed(session, store, new, reviewed, yes=yes) if new else None
        vault = session.unlocking.vault(store)
        applied = None
        if plan is not None:
            entries = tuple(petition.approval.entry() for petition in new)
            source = ApprovedKeys(keys=reviewed.keys, entries=entries)
            applied = apply_plan(plan, session.inventory, store, session.tools(vault), source=source)
            _say_kept_back(applied)
        require_settled(session.plan(store), root=session.root, words=session.words)
        answers = _answer(session, OpenedView(store, vault), petitions, out)
        content.update(outcomes.approved(answers, applied))


def _reviewed(
    carried: list[tuple[Path, bytes]], session: Session, store: Store, pins: Pins
) -> tuple[tuple[Petition, ...], Reviewed]:
    """The requests, and what they ask for, once nothing is wrong with any; what is wrong is said."""
    inventory = session.inventory
    try:
        petitions = admit_all(carried, inventory, approvals(read_ledger(store)), pins=pins, now=session.now)
        reviewed = review_petitions(petitions, inventory, store, read_lock(store), now=session.now)
    except RefusedPetitionsError as error:
        for refusal in error.refusals:
            note(refusal)
        raise
    except DeviatingError as error:
        for deviation in error.deviations:
            note(str(deviation))
        raise
    for petition in petitions:
        if petition.approved_before:
            require_same(reviewed, petition, inventory, store)
            whose = "this request" if len(petitions) == 1 else f"the request of {petition.node}"
            note(f"note: {whose} was approved before: nothing is issued, the answer is packed again")
    return petitions, reviewed


def _agreed(
    session: Session, store: Store, petitions: list[Petition], reviewed: Reviewed, *, yes: bool
) -> Plan:
    """What is to be issued, once somebody has seen all of it and said yes."""
    items = certificates_for(petitions, session.inventory)
    plan = session.plan(store, Selection(requested=frozenset(items)))
    require_nothing_else(plan, items, root=session.root, words=session.words)
    say(listed(items.values(), plan, width=width()))
    say(keys_listed({identifier: reviewed.keys[identifier] for identifier in items}))
    for petition in petitions:
        node = petition.node
        if petition.former_signer is not None:
            note(f"note: {node} signed its last request with another key: {petition.former_signer}")
        say_line(
            f"requested by {node} at {timestamp(petition.requests.created)}, signed by {petition.signer}"
        )
    if not yes and not agreed(f"issue these {len(items)} certificates?"):
        raise PkigenError("not approved", hint="nothing was issued")
    return plan


def _say_kept_back(applied: Applied) -> None:
    for identifier in applied.capped:
        note(
            f"note: {identifier} was shortened to its CA's validity; rotate the CA for longer "
            "validities: `pkigen rotate ca`"
        )


def _answer(session: Session, store: Reader, petitions: tuple[Petition, ...], out: Path) -> dict[str, Any]:
    nodes = {node.name: node for node in session.inventory.cluster.spec.nodes}
    key = bundle_key(store)
    packed = pack(session.inventory, store, tuple(nodes[petition.node] for petition in petitions))
    said: list[str] = []
    files: list[tuple[Label, Path, int]] = []
    with progress().over("packing", len(petitions)) as step:
        for petition, each in zip(petitions, packed, strict=True):
            seal = Recipient(petition.recipient)
            label = each.label(created=session.now, reader=seal.reader)
            file = out / f"{label.cluster}.{label.node}.bundle"
            try:
                write_file(file, write_bundle(label, each.archive, seal=seal, key=key))
            except PkigenError as error:
                raise PkigenError(
                    error.message,
                    hint="the certificates are issued: run this again to pack the answers",
                ) from None
            step()
            files.append((label, file, len(each.manifest.files)))
            said.append(
                f"{file}: {len(each.manifest.files)} files, serial {label.serial}, sealed for {seal.reader}"
            )
    say(page(said))
    say_line(f"signed by bundle key {fingerprint(key.public)}")
    if len(petitions) == 1:
        note(
            f"next: carry the file to {petitions[0].node}; there: "
            f"`pkigen airgap bundle install {file.name} --pin …`"
        )
    else:
        note("next: carry each file to its node; there: `pkigen airgap bundle install FILE --pin …`")
    return outcomes.bundles(files, fingerprint(key.public))
