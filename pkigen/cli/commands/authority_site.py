"""`pkigen authority request` and `accept`: at the site, towards an authority that is never connected."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.media import read_file
from pkigen.airgap.carrier.requests import open_envelope, read_answers
from pkigen.airgap.offline.acceptance import (
    RefusedAnswerError,
    delivery_of,
    known_authority,
    put_successors,
    require_delivered,
)
from pkigen.airgap.offline.generations import successors
from pkigen.airgap.offline.pending import read_pending
from pkigen.cli.change import Consent, agree, say_applied
from pkigen.cli.commands.first_run import is_new, say_made
from pkigen.cli.commands.offline_request import (
    FAULTS_SHOWN,
    for_successors,
    request_out,
    require_offline,
    select,
    select_successors,
    selection_of,
    trusted,
)
from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    OutOption,
    RunbookOption,
    SpecArgument,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.outputs import write_runbook
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.errors import BundleError, PkigenError, UsageError
from pkigen.reconcile.apply import apply_plan
from pkigen.rotation.phases import COMMANDS
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from pkigen.reconcile.make import Delivery
    from pkigen.store import Store


@unlocked
def request(
    context: typer.Context,
    spec: SpecArgument,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Ask for these too, though not due: kubeadm's names, cp-1/apiserver, user:dev1, ca.",
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--request", metavar="FILE", help="The request.  [default: DIR.request]"),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="DURATION", help="Ask for what expires within this time, too."),
    ] = None,
    following: Annotated[
        list[str] | None,
        typer.Option(
            "--next", metavar="CA", help="Ask for the successor of a CA alone, for `rotate ca`; repeat it."
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Make a new request; an answer to the one that is out is refused then."),
    ] = False,
    out: OutOption = None,
    unlocking: Unlocking,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Ask the offline authority, in one file, for all that cannot be signed here.

    That is what is missing, changed, or due. The keys are made here and stay here; the tree stays as it is
    until the answer is accepted. While a request is out, the same one is written again.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    require_offline(session)
    if following and (names or within):
        raise UsageError("--next goes alone", hint="ask for other certificates before or after it")
    selection = select(session, tuple(names or ()), duration(within, "--within") if within else None)
    request_out(
        session,
        "authority request",
        file=file,
        selection=selection,
        again=again,
        output=output,
        following=select_successors(session, tuple(following or ())),
    )


@unlocked
def accept(
    context: typer.Context,
    answered: Annotated[Path, typer.Argument(metavar="ANSWER", help="The file that has come back.")],
    spec: SpecArgument,
    *,
    out: OutOption = None,
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
    """Take in what the offline authority has signed, with all that follows from it: whole or not at all.

    The answer must be to the request that is out, whole, and signed by the authority's key; every certificate
    in it is compared with the spec and verified. What it replaces goes to a backup first.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    require_offline(session)
    data = read_file(answered, limit=LARGEST_BUNDLE)
    if not session.root.exists():
        raise _nothing_out(session)
    with session.writing("authority accept") as store:
        session = session.at(store)
        pending = read_pending(store)
        if pending is None:
            raise _nothing_out(session)
        pinned = trusted(pin, known_authority(store), "authority", "as `authority init` printed it")
        envelope = open_envelope(data, kind=BundleKind.ANSWER, pin=pinned)
        if session.now >= envelope.label.expires:
            raise BundleError(
                f"it ended {envelope.label.expires:%Y-%m-%d %H:%M} UTC: an answer waits for 30 days at most",
                hint="nothing was changed; make a new request: `pkigen authority request SPEC --again`",
            )
        asked = tuple(identifier for identifier, _ in pending.requests.requests)
        session = for_successors(session, asked)
        try:
            delivery = delivery_of(
                read_answers(envelope),
                pending,
                inventory=session.inventory,
                reader=store,
                now=session.now,
                pin=pinned,
            )
        except RefusedAnswerError as refusal:
            for fault in refusal.faults[:FAULTS_SHOWN]:
                note(f"refused: {fault}")
            raise
        if successors(asked):
            _put_successors(session, store, delivery, yes=yes)
            return
        lock = read_lock(store)
        plan = session.plan(store, selection_of(delivery.certificates, timedelta()))
        require_delivered(plan, delivery)
        agree(plan, session, Consent(yes=yes, force=force), output)
        tools = session.tools(session.unlocking.vault(store))
        applied = apply_plan(plan, session.inventory, store, tools, delivery=delivery)
        is_first = is_new(lock, session.inventory)
        if is_first:
            say_made(session, store, plan, applied, output)
    if not is_first:
        say_applied(session, plan, applied, output)
    if runbook is not None:
        write_runbook(runbook, session.inventory, plan.changes)


def _put_successors(session: Session, store: Store, delivery: Delivery, *, yes: bool) -> None:
    for identifier in delivery.certificates:
        say(f"+ create {identifier} (rotation)")
    if not yes and not agreed("put these beside the present CAs?"):
        raise PkigenError("not accepted", hint="nothing was changed")
    put_successors(delivery, session.inventory, store, now=session.now)
    say(f"accepted: {len(delivery.certificates)} successors in {session.root}; nothing trusts them yet")
    for identifier in successors(delivery.certificates):
        note(f"next: `pkigen rotate {COMMANDS[identifier]} SPEC --out {session.root}` prepares the rotation")


def _nothing_out(session: Session) -> BundleError:
    return BundleError(
        f"{session.root} has no request out: nothing waits for an answer",
        hint="nothing was changed; an answer is taken in once, `pkigen authority request SPEC` asks again",
    )
