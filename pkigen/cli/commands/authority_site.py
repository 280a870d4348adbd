"""`airgap authority request` and `accept`: at the site, towards an authority that is never connected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    OwnSpecArgument,
    RunbookOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.errors import UsageError


@unlocked
def request(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPEC] NAME",
            help="Also request these, even if they are not due: kubeadm's names, cp-1/apiserver, user:dev1, "
            "ca.",
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--request", metavar="FILE", help="The request file.  [default: DIR.request]"),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="DURATION", help="Also request what expires within this time."),
    ] = None,
    following: Annotated[
        list[str] | None,
        typer.Option(
            "--next",
            metavar="CA",
            help="Request only the successor of a CA, for `rotate ca`; may be repeated.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Make a new request; an answer to the pending one is then refused."),
    ] = False,
    unlocking: Unlocking,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Request from the offline authority, in one file, everything that cannot be signed here.

    That is what is missing, changed, or due. The keys are made here and stay here; the tree stays as it is
    until the answer is accepted. While a request is pending, the same one is written again.
    """
    from pkigen.airgap.offline.scope import asked_by_name, require_offline, successor_ids
    from pkigen.cli.offline import request_out
    from pkigen.cli.session import open_cluster
    from pkigen.cli.spec_input import named_spec

    spec, names = named_spec(arguments or ())
    session = open_cluster(context, spec, directory, templates=templates)
    session = session.with_keys(unlocking)
    require_offline(session.inventory)
    if following and (names or within):
        raise UsageError(
            "--next cannot be combined with names or --within", hint="request other certificates separately"
        )
    window = duration(within, "--within") if within else None
    selection = asked_by_name(session.inventory, names, window)
    request_out(
        session,
        "airgap authority request",
        file=file,
        selection=selection,
        again=again,
        output=output,
        following=successor_ids(session.inventory, following or ()),
    )


@unlocked
def accept(
    context: typer.Context,
    answered: Annotated[Path, typer.Argument(metavar="ANSWER", help="The answer file.")],
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The authority's key, as `authority init` printed it.  [default: that of the last answer]",
        ),
    ] = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    unlocking: Unlocking,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Accept what the offline authority has signed, and make the changes that follow, all or none.

    The answer must be to the pending request, complete, and signed by the authority's key; every certificate
    in it is compared with the spec and verified. What it replaces goes to a backup first.
    """
    from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
    from pkigen.airgap.carrier.media import read_file, require_place
    from pkigen.airgap.offline.acceptance import (
        read_answer,
        require_delivered,
        require_pending,
        trusted_authority,
    )
    from pkigen.airgap.offline.generations import successors
    from pkigen.airgap.offline.scope import require_offline, selection_of
    from pkigen.cli.change import Consent, agree, say_applied
    from pkigen.cli.first_run import say_made
    from pkigen.cli.outputs import write_runbook
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.authority_site import add_successors, delivered
    from pkigen.reconcile.apply import apply_plan
    from pkigen.reconcile.first_run import is_new
    from pkigen.rotation.successors import with_successors
    from pkigen.state.authority_record import require_recorded
    from pkigen.state.lockfile import read_lock

    session = open_cluster(context, spec, directory, templates=templates, adopts=True)
    session = session.with_keys(unlocking)
    require_offline(session.inventory)
    data = read_file(answered, limit=LARGEST_BUNDLE)
    if runbook is not None:
        require_place(runbook)
    with session.writing("airgap authority accept") as store:
        if not force:
            require_recorded(store)
        pending = require_pending(store, root=session.root)
        trusted = trusted_authority(pin, store)
        answer = read_answer(data, pin=trusted, now=session.now)
        # A successor is in no inventory before its rotation begins: what was asked for is added, so that the
        # answer can be compared with it.
        session = session.over(with_successors(session.planner.at(store), pending.asked))
        delivery = delivered(session, store, pending, answer, trusted)
        if successors(pending.asked):
            add_successors(session, store, delivery, yes=yes)
            return
        # Before the plan is applied, which writes the lock file that this asks about.
        is_first = is_new(read_lock(store), session.inventory)
        # Of no window: only what was requested is renewed, and nothing that fell due since.
        plan = session.plan(store, selection_of(delivery.certificates, timedelta()))
        require_delivered(plan, delivery)
        agree(plan, session, Consent(yes=yes, force=force), output)
        tools = session.tools(session.unlocking.vault(store))
        applied = apply_plan(plan, session.inventory, store, tools, source=delivery)
        if is_first:
            say_made(session, store, plan, applied, output)
        in_cluster = session.in_cluster(store)
        if not is_first:
            say_applied(session, replace(plan, in_cluster=in_cluster), applied, output, reader=store)
    if runbook is not None:
        write_runbook(runbook, session, plan.changes, in_cluster)
