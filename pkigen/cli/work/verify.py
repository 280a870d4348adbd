"""The work of `pkigen verify`: the files, or what endpoints serve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import typer

from pkigen.cli.console import note, say, say_lines, width
from pkigen.cli.options import VerifyForm
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.live_text import held_lines, live_lines
from pkigen.cli.session import Session
from pkigen.errors import UsageError
from pkigen.reconcile.observations import Verified
from pkigen.rotation.live import look
from pkigen.rotation.live_revocations import Hold, ask_all

_PLAIN = frozenset({VerifyForm.JSON, VerifyForm.YAML})


def say_verified(verified: Verified, session: Session, output: VerifyForm) -> None:
    """Say what was found, in the form that was asked for."""
    if output is VerifyForm.TEXT:
        for each in verified.remarks:
            note(f"remark: {each.subject}: {each.detail}")
        say_lines(_lines(verified))
    elif output in _PLAIN:
        from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

        say(structured.dump(structured.verified(verified), output))
    else:
        from pkigen.cli.foreign import say_report  # noqa: PLC0415 -- only these forms pay for it
        from pkigen.cli.reports.audit_forms import of_verified  # noqa: PLC0415

        say_report(of_verified(verified, directory=str(session.root), now=session.now), output)


def _lines(verified: Verified) -> Iterator[Line]:
    for each in verified.findings:
        yield Line(f"{each.subject}: {each.reason}: {each.detail}", Tone.RISK)
    yield Line(
        f"{verified.objects} objects, {verified.edges} TLS edges, {len(verified.findings)} findings",
        Tone.RISK if verified.findings else Tone.WELL,
    )


def verify_live(session: Session, output: VerifyForm, *, within: timedelta) -> None:
    """Compare what endpoints serve with the tree, and say it.

    Raises:
        UsageError: It has no such form.
        Exit: There are findings.
    """
    if output not in _PLAIN and output is not VerifyForm.TEXT:
        raise UsageError(f"--live has no form {output}", hint="use -o text, json or yaml")
    with session.reading() as store:
        session = session.at(store)
        seen = look(session.inventory, store, now=session.now, dial=session.system.dial, within=within)
        held = ask_all(session.inventory, store, within=within, ask=session.system.ask)
    cluster = session.inventory.cluster.name
    if output is VerifyForm.TEXT:
        say_lines(held_lines(held, count=len(session.inventory.revocations.active)))
        say_lines(live_lines(seen, cluster=cluster, width=width()))
    else:
        from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

        say(structured.dump(structured.live(seen, held, cluster=cluster), output))
    if seen.findings or any(each.hold is not Hold.CURRENT for each in held):
        raise typer.Exit(ExitCode.FINDINGS)
