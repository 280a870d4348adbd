"""`pkigen apply`: make the PKI directory what the spec asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_text import plan_text, waiting_text
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.desired.generations import CA, ca_id
from pkigen.desired.inventory import carriers
from pkigen.errors import AuthorityError, PkigenError, UsageError
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.plan import Renew, Rewrite
from pkigen.reconcile.risks import risks

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.surveyed import Selection

_LARGEST_PLAN = 1 << 28

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def apply(
    context: typer.Context,
    spec: SpecArgument,
    out: OutOption = None,
    *,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Apply this saved plan; refused when the world has moved since."
        ),
    ] = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show the plan, ask, and carry it out: whole or not at all.

    What it replaces goes to a backup first.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    digest = _saved_digest(plan) if plan is not None else None
    change(
        session,
        "apply",
        consent=Consent(yes=yes, force=force),
        digest=digest,
        output=output,
        runbook=runbook,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the operator has agreed to beforehand."""

    yes: bool
    force: bool = False


def change(
    session: Session,
    command: str,
    *,
    consent: Consent,
    output: Format,
    digest: str | None = None,
    selection: Selection | None = None,
    review: Callable[[Plan, Inventory], None] | None = None,
    reuse_keys: bool = False,
    runbook: Path | None = None,
) -> None:
    """Plan, show, ask and apply, under one lock from the plan to the commit."""
    with session.writing(command) as store:
        session = session.at(store)
        made = session.plan(store, selection)
        if digest is not None and made.digest != digest:
            raise PkigenError(
                "the world has moved since the plan was saved: the same spec now gives another plan",
                hint="run `pkigen plan --save` again and review the new plan",
            )
        if review is not None:
            review(made, session.inventory)
        require_signed_here(made, session)
        agree(made, session, consent, output)
        if not made.changes:
            applied = Applied(issued=(), capped=(), backup=None)
        else:
            vault = session.unlocking.vault(store)
            applied = apply_plan(made, session.inventory, store, session.tools(vault), reuse_keys=reuse_keys)
    say_applied(session, made, applied, output)
    if runbook is not None:
        write_runbook(runbook, session.inventory, made.changes)


def say_applied(session: Session, made: Plan, applied: Applied, output: Format) -> None:
    """Say what a plan has become."""
    if output is Format.TEXT and not made.changes:
        say("nothing to do")
        for line in waiting_text(made):
            note(line)
    elif output is Format.TEXT:
        for identifier in applied.capped:
            note(f"note: {identifier} was shortened to its CA's end; `pkigen rotate ca` makes room")
        backup = f"; what was replaced is in backup {applied.backup}" if applied.backup else ""
        say(f"applied: {len(applied.issued)} issued, {len(made.changes)} changes in {session.root}{backup}")
    else:
        content = structured.plan(made, session.inventory, ())
        say(structured.dump(structured.applied(applied, content, str(session.root)), output))


def require_renewals_only(plan: Plan, inventory: Inventory) -> None:
    """Who asks for renewals has not reviewed anything else, but for what a renewed CA has to reach."""
    renewed = {action.id for action in plan.changes if isinstance(action, Renew)}
    reached = carriers(inventory, {ca for ca in CA if ca_id(ca) in renewed})
    others = [
        action
        for action in plan.changes
        if not isinstance(action, Renew) and not (isinstance(action, Rewrite) and action.id in reached)
    ]
    if others:
        first = others[0]
        raise PkigenError(
            f"{len(others)} other {'change is' if len(others) == 1 else 'changes are'} pending, such as "
            f"{first.verb} {first.id} ({first.reason}); renew makes none but renewals",
            hint="review them with `pkigen plan`, make them with `pkigen apply`, then renew",
        )


def require_signed_here(plan: Plan, session: Session) -> None:
    """Refuse what waits for the offline authority before anybody is asked about it.

    Raises:
        AuthorityError: The plan holds such a change.
    """
    if plan.offline:
        first, count = plan.offline[0], len(plan.offline)
        raise AuthorityError(
            f"{count} of the changes need{'s' if count == 1 else ''} a certificate of the offline authority, "
            f"the first being {first.verb} {first.id} ({first.reason}): nothing was changed",
            hint=f"`pkigen authority request SPEC --out {session.root}` asks for them; its answer brings all "
            "changes at once",
        )
    if plan.awaited:
        note(
            f"note: {len(plan.awaited)} certificates are due and wait for the offline authority: "
            f"`pkigen authority request SPEC --out {session.root}`"
        )


def agree(plan: Plan, session: Session, consent: Consent, output: Format) -> None:
    """Show a plan, refuse it where it is dangerous and nobody has forced it, and ask.

    Raises:
        PkigenError: It is dangerous, or not agreed to.
    """
    found = risks(plan, session.inventory)
    text = plan_text(plan, session.inventory, found)
    if plan.changes:
        (say if output is Format.TEXT else note)(text)
    if found and not consent.force:
        raise PkigenError(
            f"the plan is dangerous: {found[0]}",
            hint="if that is what you want, and every node can be changed at once, add --force",
        )
    if plan.changes and not consent.yes and not agreed("apply these changes?"):
        raise PkigenError("not applied", hint="nothing was changed")


def _saved_digest(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_PLAN:
            raise UsageError(f"{path} is too large to be a saved plan")
        digest = json.loads(path.read_bytes())["digest"]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {(error.strerror or 'input/output error').lower()}"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        digest = None
    if not isinstance(digest, str):
        raise UsageError(f"{path} is not a saved plan", hint="save one with `pkigen plan --save FILE`")
    return digest
