"""`airgap node approve`: what nodes request by file is reviewed, shown, issued, and answered by file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.document import document
from pkigen.cli.options import DirectoryOption, Format, FormatOption, TemplatesOption, YesOption
from pkigen.cli.unlock import Unlocking, unlocked


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
    from pkigen.airgap.bundles.contents import require_settled
    from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
    from pkigen.airgap.carrier.media import read_file, require_place
    from pkigen.airgap.enrolment.approval import Pins
    from pkigen.cli.reports import outcomes
    from pkigen.cli.session import open_cluster
    from pkigen.cli.spec_input import named_spec
    from pkigen.cli.work.node_approve import agreed_plan, pack_answers, reviewed_petitions, say_kept_back
    from pkigen.reconcile.apply import apply_plan
    from pkigen.reconcile.source import ApprovedKeys
    from pkigen.state.views import OpenedView

    spec, names = named_spec(arguments)
    files = [Path(name) for name in names]
    session = open_cluster(context, spec, directory, templates=templates)
    session = session.with_keys(unlocking)
    nodes = {node.name for node in session.inventory.cluster.spec.nodes}
    pins = Pins.of_texts(pin or (), nodes=nodes, requests=len(files))
    require_place(out)
    carried = [(file, read_file(file, limit=LARGEST_BUNDLE)) for file in files]
    with document(output) as content, session.writing("airgap node approve") as store:
        session = session.at(store)
        petitions, reviewed = reviewed_petitions(carried, session, store, pins)
        new = [petition for petition in petitions if not petition.approved_before]
        plan = agreed_plan(session, store, new, reviewed, yes=yes) if new else None
        vault = session.unlocking.vault(store)
        applied = None
        if plan is not None:
            entries = tuple(petition.approval.entry() for petition in new)
            source = ApprovedKeys(keys=reviewed.keys, entries=entries)
            applied = apply_plan(plan, session.inventory, store, session.tools(vault), source=source)
            say_kept_back(applied)
        # An answer carries the whole node, not only what was approved.
        require_settled(session.plan(store), root=session.root, words=session.words)
        answers = pack_answers(session, OpenedView(store, vault), petitions, out)
        content.update(outcomes.approved(answers, applied))
