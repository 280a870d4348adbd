"""A plan as Markdown, for a pull request: nothing that a spec says changes its structure.

Every text of somebody else's stands in a code span or a fenced block whose fence is longer than any that it
holds (CommonMark 0.31, 6.1 and 4.5).
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from pkigen.cli.reports.cluster_text import shell_lines
from pkigen.cli.reports.plan_document import Part
from pkigen.cli.reports.plan_fold import nodes_text
from pkigen.cli.reports.plan_lines import (
    SIGNS,
    advice_text,
    compact,
    next_steps,
    objects_text,
    revocations_text,
    spread_text,
    steps_text,
    summary,
    unjudged,
)
from pkigen.cli.reports.plan_text import waiting_text
from pkigen.notation import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.cli.reports.plan_document import PlanDocument
    from pkigen.cli.reports.plan_fold import Count, Entry

_ROOM = 50_000
"""Characters for diffs; GitHub takes a comment of 65,536."""

_TITLES = {
    Part.AUTHORITY: "CAs and keys",
    Part.CERTIFICATE: "Certificates",
    Part.KUBECONFIG: "Kubeconfigs",
    Part.CONFIGURATION: "Configuration",
    Part.COPY: "Copies of the authority's files",
    Part.REMOVAL: "Removals",
}


def plan_markdown(plan: PlanDocument, *, full: bool = False) -> str:
    """The plan: its counts, risks, changes and diffs, and what it asks of the nodes.

    Args:
        plan: The plan.
        full: Whether diffs are shown however long they are.
    """
    listed, numbers = compact(plan)
    parts = (
        _head(plan),
        (f"- {code(f'{sign} {text}')}" for sign, text in revocations_text(plan, full=full)),
        _changes(listed),
        _counts(numbers),
        _diffs(listed, room=None if full else _ROOM),
        _consequences(plan),
        (f"Digest `{plan.digest}`",),
    )
    return "\n\n".join("\n".join(lines) for lines in map(tuple, parts) if lines)


def code(text: str) -> str:
    """A code span that shows a text as it is, on one line."""
    shown = printable(text)
    fence = "`" * (_longest_run(shown) + 1)
    # A span gives up one blank on each side, so that it can begin and end with a backtick.
    inside = f" {shown} " if fence != "`" or shown.startswith(" ") or not shown.strip() else shown
    return f"{fence}{inside}{fence}"


def fenced(lines: Iterable[str], language: str = "") -> Iterator[str]:
    """A block that shows lines as they are."""
    shown = [printable(line) for line in lines]
    fence = "`" * max(3, max(map(_longest_run, shown), default=0) + 1)
    yield f"{fence}{language}"
    yield from shown
    yield fence


def _longest_run(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def _head(plan: PlanDocument) -> Iterator[str]:
    yield f"### Plan for cluster {code(plan.cluster)}: {summary(plan)}"
    if plan.risks or plan.authority.is_new:
        yield ""
        # GitHub draws it as an alert; elsewhere it stays a quotation that can be read.
        yield "> [!CAUTION]"
    if plan.authority.is_new:
        # Two blanks at its end break the line within the quotation.
        yield "> This makes a **new authority**: there is none here, and none is recorded.  "
    for risk in plan.risks:
        yield f"> Risk: {code(risk)}  "


def _changes(listed: tuple[Entry, ...]) -> Iterator[str]:
    order = list(Part)
    entries = sorted(listed, key=lambda each: order.index(each.part))
    for number, (part, group) in enumerate(groupby(entries, key=lambda each: each.part)):
        if number:
            yield ""
        yield f"**{_TITLES[part]}**"
        yield ""
        yield from (f"- {code(f'{SIGNS[each.verb]} {each.sentence}')}" for each in group)


def _counts(numbers: tuple[Count, ...]) -> Iterator[str]:
    if not numbers:
        return
    yield "| change | reason | where | objects |"
    yield "|---|---|---|---|"
    for count in numbers:
        place = cell(nodes_text(count.nodes) or "the cluster")
        yield f"| {count.verb} | {cell(count.reason)} | {place} | {objects_text(count)} |"


def cell(text: str) -> str:
    """Code in a cell of a table, where a bar ends the cell even within code (GFM 4.10)."""
    return code(text).replace("|", r"\|")


def _diffs(entries: Iterable[Entry], *, room: int | None) -> Iterator[str]:
    """The diffs, each folded away; those that a comment has no room for are named."""
    left, omitted = room, 0
    for entry in entries:
        if not entry.diff:
            continue
        block = tuple(fenced((f"--- {entry.name}", f"+++ {entry.name}", *entry.diff), "diff"))
        size = sum(len(line) + 1 for line in block)
        # One that follows may be shorter.
        if left is not None and size > left:
            omitted += 1
            continue
        left = None if left is None else left - size
        yield from (
            "<details><summary>Diff</summary>",
            "",
            # Below the summary, not within it: HTML in a summary would need other escapes than Markdown's.
            code(entry.place),
            "",
            *block,
            "",
            "</details>",
            "",
        )
    if omitted:
        yield f"{omitted} diffs are too long for a comment; `pkigen plan --full` shows them."


def _consequences(plan: PlanDocument) -> Iterator[str]:
    yield from (f"- {code(caution)}" for caution in plan.cautions)
    if plan.restarts:
        yield "**After this is on the nodes**"
        yield ""
        yield from fenced(steps_text(plan.restarts))
    if plan.leftovers:
        yield ""
        yield "**Remove on the nodes, because copying a tree removes nothing**"
        yield ""
        yield from fenced(f"{each.node}: {' '.join(each.files)}" for each in plan.leftovers)
    if plan.in_cluster:
        yield ""
        yield "**In the cluster, in this order**"
        yield ""
        yield from fenced(shell_lines([each.step for each in plan.in_cluster]), "sh")
    remarks = (
        *spread_text(plan),
        *waiting_text(plan.waiting),
        *advice_text(plan, full=False),
        *unjudged(plan),
        *next_steps(plan),
    )
    if remarks:
        yield ""
    yield from (f"- {code(remark)}" for remark in remarks)
