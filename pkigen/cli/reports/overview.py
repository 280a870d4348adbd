"""What a report says of one cluster: looked at, counted and put in order for the page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pkigen import __version__
from pkigen.adoption.severity import AuditSeverity
from pkigen.agenda.tasks import next_task
from pkigen.cli.reports.changes import changes, lately
from pkigen.cli.reports.lifelines import axis, health, lives
from pkigen.cli.reports.page_templates import rendered, trusted
from pkigen.cli.reports.page_values import (
    MARKS,
    SIGHTS,
    Bar,
    Cell,
    Headline,
    MatrixRow,
    Overview,
    Reached,
    RotationState,
    ToldFinding,
    Trust,
)
from pkigen.cli.reports.trust_drawing import svg
from pkigen.cli.reports.trust_picture import bundle_name, picture, some
from pkigen.cli.reports.ways_out import way_out
from pkigen.desired.generations import Phase
from pkigen.desired.trust_graph import Health
from pkigen.notation import residual
from pkigen.rotation.live import Sight
from pkigen.rotation.phases import COMMANDS, NEXT_STEP
from pkigen.state.ledger import last_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.cli.examination import Examined
    from pkigen.cli.reports.lifelines import Axis, Life
    from pkigen.cli.reports.status import StatusRow
    from pkigen.cli.reports.trust_picture import Box

_FINDINGS = 200
_SERVER = "server"


def overview(examined: Examined, *, anchor: str) -> Overview:
    """Everything that there is to say."""
    now = examined.now
    found = lives(examined.rows, now=now)
    over = axis(found, now=now)
    drawn = picture(examined.graph)
    past = changes(examined.ledger, examined.backups, now=now)
    findings = tuple(_findings(examined))
    columns, matrix = _matrix(examined.rows, now)
    return Overview(
        anchor=anchor,
        examined=examined,
        verdict=_verdict(examined, found),
        task=next_task(examined.situation) if examined.situation is not None else None,
        first=first_end(found, now=now),
        lately=lately(past),
        bars=tuple(_bar(life, over, now) for life in found),
        ticks=tuple((100 * over.share(moment), text) for moment, text in over.ticks()),
        today=100 * over.share(now),
        drawing=trusted(svg(drawn, cluster=examined.name, name=anchor)),
        edges=tuple(
            (_named(each.client), _named(each.server), each.state, each.health) for each in drawn.arrows
        ),
        trusts=tuple(_trusts(examined)),
        columns=columns,
        matrix=matrix,
        # A page with thousands of findings cannot be read, nor loaded on a phone; `verify -o json` has all of
        # them.
        findings=findings[:_FINDINGS],
        more=len(findings[_FINDINGS:]),
        rotations=tuple(_rotations(examined)),
        reached=tuple(_reached(examined)),
        changes=past,
    )


def _named(box: Box) -> str:
    return f"{box.title} ({box.where})" if box.where else box.title


# -- the sentence on top ----------------------------------------------------------------------------------


def _verdict(examined: Examined, found: Sequence[Life]) -> Headline:
    """Whether all is well, or what is not."""
    of = Counter(each.severity for each in examined.audit.findings)
    refused = sum(each.health is Health.BROKEN for each in examined.graph.connections)
    expired = sum(len(each.rows) for each in found if each.ends <= examined.now)
    broken = _counted(
        (of[AuditSeverity.ERROR], "finding", ""),
        (refused, "connection", " refused"),
        (expired, "certificate", " expired"),
    )
    end = first_end(found, now=examined.now)
    if broken:
        return Headline(
            level=Health.BROKEN, word="Broken", sentence=f"{', '.join(broken)}.{_gravest(examined)} {end}"
        )
    due = sum(len(each.rows) for each in found if each.health is Health.SOON)
    soon = _counted((due, "certificate", " to renew"), (of[AuditSeverity.WARNING], "warning", ""))
    if soon:
        return Headline(
            level=Health.SOON, word="Look here", sentence=f"It works, with {' and '.join(soon)}. {end}"
        )
    return Headline(
        level=Health.HOLDS,
        word="All is well",
        sentence=f"{_plural(len(examined.rows), 'object')} and "
        f"{_plural(len(examined.graph.connections), 'connection')} verified, and nothing is wrong. {end}",
    )


def _counted(*counts: tuple[int, str, str]) -> list[str]:
    """What there is some of."""
    return [f"{_plural(number, noun)}{how}" for number, noun, how in counts if number]


def _gravest(examined: Examined) -> str:
    """The first error."""
    errors = (each for each in examined.audit.findings if each.severity is AuditSeverity.ERROR)
    return next((f" First: {each.place}: {each.detail}." for each in errors), "")


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_end(found: Sequence[Life], *, now: datetime) -> str:
    """What expires first from now on, and what breaks then."""
    to_come = [each for each in found if each.ends > now]
    if not to_come:
        return "Nothing that is valid has an end."
    first = to_come[0]
    more = [each for each in to_come[1:] if each.ends == first.ends]
    who = f"{first.what}{f' on {some(first.nodes)}' if first.nodes else ''}"
    others = f", with {_plural(len(more), 'other kind')} of certificate" if more else ""
    return (
        f"The first to expire is {who}, on {first.ends:%Y-%m-%d %H:%M} UTC, in "
        f"{residual(first.ends - now)}{others}. What stops then: {first.stops}."
    )


# -- the timeline -----------------------------------------------------------------------------------------


def _bar(life: Life, over: Axis, now: datetime) -> Bar:
    left = (
        f"in {residual(life.ends - now)}" if life.ends > now else f"expired {residual(now - life.ends)} ago"
    )
    until = f" to {life.last:%Y-%m-%d}" if f"{life.last:%F}" != f"{life.ends:%F}" else ""
    where = some(life.nodes) if life.nodes else ""
    return Bar(
        life=life,
        name=life.what,
        where=where,
        begin=100 * over.share(life.begins),
        now=100 * over.share(now),
        # What is past of the window of renewal is shown as lived.
        due=100 * over.share(max(life.due, min(now, life.ends))),
        end=100 * over.share(life.ends),
        is_cut=life.ends > over.end,
        left=left,
        sentence=f"valid from {life.begins:%Y-%m-%d}, to be renewed from {life.due:%Y-%m-%d}, "
        f"ends {life.ends:%Y-%m-%d}{until} ({left})",
    )


# -- who trusts whom --------------------------------------------------------------------------------------


def _trusts(examined: Examined) -> Iterator[Trust]:
    """Each CA with the components that judge by it, and the bundle that they do it with."""
    found: dict[str, dict[tuple[str, str], dict[str, None]]] = {}
    for connection in examined.graph.connections:
        for shown in connection.presentations:
            # What a server shows, its client judges, and the other way round.
            judge = connection.client if shown.shown_by == _SERVER else connection.server
            key = (judge.component.partition(",")[0], bundle_name(shown.bundle))
            for ca in shown.anchors:
                nodes = found.setdefault(ca, {}).setdefault(key, {})
                if judge.node is not None:
                    nodes[judge.node] = None
    for ca, judges in sorted(found.items()):
        yield Trust(
            ca=ca,
            judges=tuple(
                f"{component}{f' on {some(tuple(sorted(nodes)))}' if nodes else ''}, by {bundle}"
                for (component, bundle), nodes in sorted(judges.items())
            ),
        )


# -- nodes and certificates -------------------------------------------------------------------------------


def _matrix(rows: Iterable[StatusRow], now: datetime) -> tuple[tuple[str, ...], tuple[MatrixRow, ...]]:
    """Nodes with the same certificates in one row; a column for each kind that any node has."""
    nodes: dict[str, dict[str, Cell]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        if row.node is None or not row.is_certificate:
            continue
        columns[row.name] = None
        text = residual(row.effective - now) if row.effective is not None else "missing"
        # Cells are compared as values, so that nodes with the same certificates and the same time left fold
        # into a row.
        nodes.setdefault(row.node, {})[row.name] = Cell(name=row.name, health=health(row, now=now), text=text)
    groups: dict[tuple[Cell | None, ...], list[str]] = {}
    for node, cells in nodes.items():
        groups.setdefault(tuple(cells.get(each) for each in columns), []).append(node)
    return tuple(columns), tuple(
        MatrixRow(nodes=tuple(found), cells=cells) for cells, found in groups.items()
    )


# -- findings ---------------------------------------------------------------------------------------------

_LEVELS = {
    AuditSeverity.ERROR: Health.BROKEN,
    AuditSeverity.WARNING: Health.SOON,
    AuditSeverity.INFORMATION: Health.UNKNOWN,
}


def _findings(examined: Examined) -> Iterator[ToldFinding]:
    for each in examined.audit.findings:
        yield ToldFinding(
            level=_LEVELS[each.severity],
            severity=str(each.severity),
            rule=each.rule,
            place=each.place,
            detail=each.detail,
            why=each.why,
            remedy=each.remedy or way_out(each.rule),
        )


# -- rotations --------------------------------------------------------------------------------------------


def _rotations(examined: Examined) -> Iterator[RotationState]:
    if examined.rotations is None:
        return
    for identifier in examined.rotating:
        phase = examined.rotations.phase(identifier)
        step = last_step(examined.ledger, identifier)
        yield RotationState(
            id=identifier,
            phase=phase,
            last=step or "never rotated",
            next=f"pkigen rotate {COMMANDS[identifier]}"
            + (f" --phase {NEXT_STEP[phase]}" if phase is not Phase.STABLE else ""),
        )


def _reached(examined: Examined) -> Iterator[Reached]:
    """What was seen on which nodes, what is behind first."""
    found: dict[tuple[str, Sight], list[str]] = {}
    for each in examined.live.seen if examined.live is not None else ():
        found.setdefault((each.endpoint.component, each.sight), []).append(each.endpoint.node)
    for (component, sight), nodes in sorted(
        found.items(), key=lambda each: (SIGHTS[each[0][1]].rank, each[0])
    ):
        yield Reached(component=component, sight=sight, nodes=tuple(nodes))


# -- the page ---------------------------------------------------------------------------------------------

_SECTIONS = (
    ("timeline", "Timeline"),
    ("graph", "Trust graph"),
    ("nodes", "Nodes"),
    ("findings", "Findings"),
    ("rotations", "Rotations"),
    ("changes", "Last changes"),
)
_OF_OTHERS = 4
"""How many of the sections a cluster of another maker has."""


def page(found: Sequence[Examined], failures: Sequence[tuple[str, str]], *, now: datetime) -> str:
    """One page of all clusters, those first that need somebody.

    Args:
        found: What was read.
        failures: What could not be read, and why.
        now: The moment that counts.
    """
    # Numbered before they are sorted, which moves no anchor: ids within a page must be unique, and names of
    # clusters need not be.
    told = [overview(each, anchor=f"c{number}") for number, each in enumerate(found)]
    told.sort(key=lambda each: each.verdict.level.rank)
    alone = told[0].examined if len(told) == 1 and not failures else None
    return rendered(
        "report.html",
        title=f"Cluster {alone.name}" if alone is not None else f"{len(found) + len(failures)} clusters",
        version=__version__,
        now=f"{now:%Y-%m-%d %H:%M}",
        clusters=told,
        failures=failures,
        marks={str(each): mark for each, mark in MARKS.items()},
        sections=_SECTIONS if alone is None or alone.is_own else _SECTIONS[:_OF_OTHERS],
    )
