"""What is to be done in the running cluster, as lines to be copied, and as a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.reports.lines import Line, Tone
from pkigen.notation import dir_option
from pkigen.reconcile.cluster_changes import ClusterVerb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.reconcile.cluster_changes import ClusterStep


_WAITS = "only once every API server has restarted with the new encryption configuration:"


def cluster_lines(
    steps: Sequence[ClusterStep], root: str, *, told: bool = False, asks: bool = False
) -> Iterator[Line]:
    """The commands in their order, and how to say that they were run.

    Args:
        steps: From `cluster_steps`.
        root: Leads to the PKI directory; empty for its own.
        told: Whether somebody has said that they were run.
        asks: Whether that is asked next.
    """
    from_here = "" if root else ", from the PKI directory"
    if steps:
        yield Line(f"in the cluster, in this order{from_here}{_place(steps)}:", Tone.TITLE)
    for step, waits in zip(steps, _waits(steps), strict=True):
        if waits:
            yield Line(f"  # {_WAITS}")
        tone = Tone.REMOVES if step.verb is ClusterVerb.DELETE else Tone.CHANGES
        yield Line(f"  {step.command(root)}", tone, is_whole=True)
    if steps and told:
        yield Line("it was told that this is done", Tone.WELL)
    elif steps and not asks:
        yield Line(f"once that is done: `{confirming(root)}`; until then `pkigen next` reminds of it")


def confirming(root: str) -> str:
    """The command that says that it was done."""
    return f"pkigen access applied{f' {dir_option(root)}' if root else ''}"


def cluster_summary_text(steps: Sequence[ClusterStep]) -> str:
    """How much there is to do."""
    deleted = sum(step.verb is ClusterVerb.DELETE for step in steps)
    written = sum(step.verb is ClusterVerb.WRITE for step in steps)
    applied = len(steps) - deleted - written
    parts = (
        (applied, "manifest", "to apply"),
        (deleted, "object", "to delete"),
        (written, "resource", "to write again in etcd"),
    )
    return " and ".join(f"{_counted(number, what)} {then}" for number, what, then in parts if number)


def cluster_script(steps: Sequence[ClusterStep], name: str, root: str) -> list[str]:
    """The same as a shell script. It stops at what fails: who has not got a new right yet keeps the old."""
    lines = ["#!/bin/sh", f"# What cluster {_printable(name)} is to hold, in an order that is safe."]
    lines += ["# It may run again: what is done stays done.", "set -eu"]
    if place := _place(steps):
        lines.append(f"#{place}")
    return [*lines, *shell_lines(steps, root), f"# then, and not before: {confirming(root)}"]


def shell_lines(steps: Sequence[ClusterStep], root: str = "") -> Iterator[str]:
    """The commands as lines for a shell."""
    for step, waits in zip(steps, _waits(steps), strict=True):
        if waits:
            yield f"# {_WAITS}"
        yield step.command(root)


def _waits(steps: Sequence[ClusterStep]) -> Iterator[bool]:
    """Whether a step is the first for which every API server must have restarted.

    One that has not cannot read what the others encrypt, and encrypts nothing itself.
    """
    writing = [step.verb is ClusterVerb.WRITE for step in steps]
    return (each and not before for each, before in zip(writing, [False, *writing], strict=False))


def _place(steps: Sequence[ClusterStep]) -> str:
    """Where the commands run, if not here."""
    # All steps of one change run at the same place: that of the kubeconfig that they need.
    node = steps[0].node
    return "" if node is None else f" on {node}, which alone has the key, with {layout.ADDONS}/ copied there"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
