"""The work of `pkigen airgap node approve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen.airgap.bundles.contents import pack
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.media import write_file
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
from pkigen.cli.progress import progress
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.node_listing import keys_listed, listed
from pkigen.cli.reports.tables import page
from pkigen.cli.session import Session
from pkigen.crypto.age import Recipient
from pkigen.errors import PkigenError
from pkigen.notation import quoted, timestamp
from pkigen.reconcile.apply import Applied
from pkigen.reconcile.surveyed import Selection
from pkigen.state.ledger import approvals, read_ledger
from pkigen.state.lockfile import read_lock
from pkigen.store import Store

if TYPE_CHECKING:
    from pkigen.airgap.carrier.csr_review import Reviewed
    from pkigen.airgap.carrier.format import Label
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader


def reviewed_petitions(
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


def agreed_plan(
    session: Session, store: Store, petitions: list[Petition], reviewed: Reviewed, *, yes: bool
) -> Plan:
    """What is to be issued, once somebody has seen all of it and said yes."""
    items = certificates_for(petitions, session.inventory)
    plan = session.plan(store, Selection(requested=frozenset(items)))
    # What is agreed to is a list of certificates: another change in the same plan would not be on it.
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


def say_kept_back(applied: Applied) -> None:
    """Say which certificates are shorter than they should be."""
    for identifier in applied.capped:
        note(
            f"note: {identifier} was shortened to its CA's validity; rotate the CA for longer "
            "validities: `pkigen rotate ca`"
        )


def pack_answers(
    session: Session, store: Reader, petitions: tuple[Petition, ...], out: Path
) -> dict[str, Any]:
    """Pack an answer for each node, say where it is, and give that as a structure."""
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
            f"`pkigen airgap bundle install {quoted(file.name)} --pin …`"
        )
    else:
        note("next: carry each file to its node; there: `pkigen airgap bundle install FILE --pin …`")
    return outcomes.bundles(files, fingerprint(key.public))
