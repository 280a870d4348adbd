"""The one thing to do next, or until when there is nothing to do: rules in order of urgency."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen.agenda.situation import CAS, RECENT
from pkigen.desired.certificates import API_SERVER
from pkigen.desired.generations import Phase
from pkigen.reconcile.cluster_changes import ClusterVerb
from pkigen.records import dataclass
from pkigen.rotation.live import Sight
from pkigen.rotation.next_command import next_command
from pkigen.rotation.phases import COMMANDS, NEXT_STEP, OBSERVABLE
from pkigen.rotation.step_names import RotationStep
from pkigen.state.reasons import TIME_REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime

    from pkigen.agenda.situation import Lifetime, Rotating, Situation
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.plan import Action

_SHOWN = 3
_TAKEN = {Phase.PREPARED: RotationStep.PREPARE, Phase.PROMOTED: RotationStep.PROMOTE}


class TaskKind(enum.StrEnum):
    """What is to be done, the most urgent first; stable words for programs."""

    AUTHORITY = "authority"
    RESCUE = "rescue"
    ACCEPT = "accept"
    REQUEST = "request"
    RENEW = "renew"
    APPLY = "apply"
    ADDONS = "addons"
    DISTRIBUTE = "distribute"
    ROTATE = "rotate"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do: why, the command that does it, and the nodes that it concerns, if they are known."""

    kind: TaskKind
    sentence: str
    command: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What will have to be done next, and from when on."""

    time: datetime
    sentence: str


def next_task(situation: Situation) -> Task | None:
    """The most urgent task; None where there is nothing to do now."""
    found = (rule(situation) for rule in RULES)
    return next((task for task in found if task is not None), None)


def outlook(situation: Situation) -> Outlook | None:
    """The first thing that will become due; None where nothing ever does."""
    dates = (*_due_later(situation), *_steps_later(situation))
    return min(dates, key=lambda each: (each.time, each.sentence), default=None)


# -- the rules, the most urgent first --------------------------------------------------------------------


def changed_authority(situation: Situation) -> Task | None:
    """Keys or certificates of the authority are not those that are recorded."""
    alarms = situation.plan.alarms if situation.plan is not None else ()
    if not alarms:
        return None
    return Task(
        kind=TaskKind.AUTHORITY,
        sentence=f"the authority is not the one that is recorded: {alarms[0]}",
        command=f"pkigen verify {situation.directory}",
    )


def expired_cluster(situation: Situation) -> Task | None:
    """A CA has expired, or the certificate of every API server: nothing but a rescue helps."""
    ended = [each.id for each in situation.endings if each.ends <= situation.now]
    servers = [each.id for each in situation.endings if each.name == API_SERVER.name]
    # Without a known certificate of an API server the list is empty, and so says nothing.
    # One API server that is still accepted keeps the cluster working: the others are ordinary renewals then.
    which = [each for each in ended if each in CAS] or (servers if set(servers) <= set(ended) else [])
    if not which:
        return None
    return Task(
        kind=TaskKind.RESCUE,
        sentence=f"the cluster is expired: {_some(which)} {_has(which)} expired",
        command=f"pkigen rescue {situation.spec}",
    )


def unanswered_request(situation: Situation) -> Task | None:
    """The offline authority has been asked, and its answer has not been accepted."""
    request = situation.request
    if request is None:
        return None
    return Task(
        kind=TaskKind.ACCEPT,
        sentence=f"request {request.number} of {_day(request.created)} to the offline authority is pending: "
        f"{_some(request.ids)}; have it signed there, then accept the answer",
        command=f"pkigen airgap authority accept ANSWER {situation.spec}",
    )


def offline_request(situation: Situation) -> Task | None:
    """Something needs a certificate that only the offline authority can issue."""
    plan = situation.plan
    found = (*plan.offline, *plan.awaited) if plan is not None else ()
    if not found:
        return None
    return Task(
        kind=TaskKind.REQUEST,
        sentence=f"only the offline authority can issue what is needed: {_some(each.id for each in found)}",
        command=f"pkigen airgap authority request {situation.spec}",
        nodes=_nodes(found),
    )


def due_certificates(situation: Situation) -> Task | None:
    """Certificates have expired or are inside their renewBefore, and nothing else is to be changed."""
    changes = situation.plan.changes if situation.plan is not None else ()
    # With anything else to change, `apply` does both.
    if not changes or any(each.reason not in TIME_REASONS for each in changes):
        return None
    ends = [each.reissuance.expires for each in changes if each.reissuance and each.reissuance.expires]
    first = f", the first on {_day(min(ends))}" if ends else ""
    return Task(
        kind=TaskKind.RENEW,
        sentence=f"due for renewal: {_some(each.id for each in changes)}{first}",
        command=f"pkigen renew {situation.spec}",
        nodes=_nodes(changes),
    )


def pending_changes(situation: Situation) -> Task | None:
    """The directory is not what the spec asks for."""
    changes = situation.plan.changes if situation.plan is not None else ()
    if not changes:
        return None
    return Task(
        kind=TaskKind.APPLY,
        sentence=f"the directory is not what its spec asks for: {changes[0].verb} "
        f"{_some(each.id for each in changes)}",
        command=f"pkigen apply {situation.spec}",
        nodes=_nodes(changes),
    )


def unapplied_addons(situation: Situation) -> Task | None:
    """Nobody has said yet that the cluster has got what changed of the addons."""
    steps = situation.in_cluster
    if not steps:
        return None
    return Task(
        kind=TaskKind.ADDONS,
        sentence=f"{_unapplied(steps)}: run the kubectl commands that this shows, then confirm it",
        command=f"pkigen access applied {situation.directory}",
    )


def _unapplied(steps: Iterable[ClusterStep]) -> str:
    """What the cluster may not hold as it should, the most dangerous first."""
    of: dict[ClusterVerb, list[ClusterStep]] = {}
    for step in steps:
        of.setdefault(step.verb, []).append(step)
    if gone := of.get(ClusterVerb.DELETE):
        return f"the cluster may still hold {_some(str(step.object) for step in gone)}"
    if lacking := [step.file for step in of.get(ClusterVerb.APPLY, ()) if step.file is not None]:
        return f"the cluster may not have got {_some(lacking)} yet"
    if written := [step.object.name for step in of.get(ClusterVerb.WRITE, ()) if step.object is not None]:
        return f"etcd may still hold {_some(written)} as they were encrypted before"
    return "the cluster may not map the ARNs of spec.iam yet"


def lagging_nodes(situation: Situation) -> Task | None:
    """Endpoints do not serve what they should: their nodes lack a change, or a step of a rotation."""
    live = situation.live
    if live is None or not live.findings:
        return None
    # A node that does not answer may have everything; one that serves something else has not.
    behind = live.nodes(Sight.OLD, Sight.UNKNOWN)
    nodes = behind or tuple(sorted({finding.endpoint.node for finding in live.findings}))
    finding = next(each for each in live.findings if each.endpoint.node == nodes[0])
    what = _awaited(situation.rotating)
    said = f"{_has(nodes)} not got {what} yet" if behind else f"cannot be shown to have {what}"
    return Task(
        kind=TaskKind.DISTRIBUTE,
        sentence=f"{_some(nodes)} {said}: {finding}",
        command=_again(situation),
        nodes=nodes,
    )


def unfinished_rotation(situation: Situation) -> Task | None:
    """A rotation is half way, and its next step need not wait."""
    ready = [each for each in situation.rotating if not _waits(each, situation.now)]
    if not ready:
        return None
    first = ready[0]
    step, taken = NEXT_STEP[first.phase], _TAKEN[first.phase]
    seen = situation.distributed or (situation.live is not None and first.id in OBSERVABLE)
    before = "" if seen else f"see that every node has the files of {taken} and has restarted, then "
    return Task(
        kind=TaskKind.ROTATE,
        sentence=f"the rotation of {first.id} is {first.phase}: {before}{step}",
        command=next_command((first.id,), situation.spec, distributed=situation.distributed),
    )


def asking_nodes(situation: Situation) -> Task | None:
    """Only a node has the key that a certificate is for: it must ask first."""
    waiting = situation.plan.waiting if situation.plan is not None else ()
    if not waiting:
        return None
    nodes = _nodes(waiting)
    return Task(
        kind=TaskKind.ASK,
        sentence=f"{_some(nodes)} must request {_some(each.id for each in waiting)}: run this there, then "
        "`pkigen airgap node approve` here",
        command="pkigen airgap node request SPEC --out MEDIUM",
        nodes=nodes,
    )


def unconfirmed_change(situation: Situation) -> Task | None:
    """A recent change may not have reached the nodes: nothing has shown that it has."""
    change = situation.change
    if change is None or situation.distributed or situation.live is not None:
        return None
    if situation.now - change.time > RECENT:
        return None
    who = _some(change.nodes) if change.nodes else "every node"
    return Task(
        kind=TaskKind.DISTRIBUTE,
        sentence=f"the change of {_day(change.time)} ({change.command}) may not be on {who} yet: copy the "
        "trees, and restart what must restart; --live looks, --assume-distributed confirms it",
        command=f"pkigen next {situation.directory} --live",
        nodes=change.nodes,
    )


def ending_authority(situation: Situation) -> Task | None:
    """A CA is inside its renewBefore: what it signs is shortened, and a rotation takes a while."""
    rotates = {each.id for each in situation.rotating}
    due = [
        each
        for each in situation.endings
        if each.id in CAS and each.id not in rotates and each.due <= situation.now
    ]
    if not due:
        return None
    first = min(due, key=lambda each: each.ends)
    return Task(
        kind=TaskKind.ROTATE,
        sentence=f"the CA {first.id} expires on {_day(first.ends)}: rotate it",
        command=f"pkigen rotate {COMMANDS[first.id]} {situation.spec}",
    )


RULES: tuple[Callable[[Situation], Task | None], ...] = (
    changed_authority,
    expired_cluster,
    # Before the rule that asks the authority: what it was asked for is not asked for twice.
    unanswered_request,
    offline_request,
    due_certificates,
    pending_changes,
    unapplied_addons,
    # Before the next step of a rotation, which relies on every node having what the last one made.
    lagging_nodes,
    unfinished_rotation,
    asking_nodes,
    unconfirmed_change,
    # Last: a rotation is not begun while earlier changes may still be on their way to the nodes.
    ending_authority,
)
"""In order of urgency: the first that finds something says what is to be done."""


# -- what is to come -------------------------------------------------------------------------------------


def _due_later(situation: Situation) -> Iterator[Outlook]:
    groups: dict[datetime, list[Lifetime]] = {}
    for each in situation.endings:
        if each.due > situation.now:
            groups.setdefault(each.due, []).append(each)
    for time, endings in groups.items():
        sentence = (
            f"{_some(each.id for each in endings)} {'is' if len(endings) == 1 else 'are'} due for renewal"
        )
        yield Outlook(time=time, sentence=sentence)


def _steps_later(situation: Situation) -> Iterator[Outlook]:
    for each in situation.rotating:
        if each.earliest is not None and each.earliest > situation.now:
            yield Outlook(time=each.earliest, sentence=f"the rotation of {each.id} can finish")


def _waits(rotating: Rotating, now: datetime) -> bool:
    return rotating.earliest is not None and now < rotating.earliest


def _again(situation: Situation) -> str:
    """The command that shows what the nodes need; what has left no backup, as `init`, it cannot show."""
    if situation.change is not None and situation.change.nodes:
        return f"pkigen show {situation.directory}"
    return f"pkigen verify {situation.directory} --live"


def _awaited(rotating: Iterable[Rotating]) -> str:
    """What the nodes should have got last."""
    return " and ".join(f"{_TAKEN[each.phase]} of {each.id}" for each in rotating) or "the last change"


# -- words -----------------------------------------------------------------------------------------------


def _nodes(actions: Iterable[Action]) -> tuple[str, ...]:
    return tuple(sorted({each.node for each in actions if each.node is not None}))


def _some(names: Iterable[str]) -> str:
    """A few names, and the number of the others."""
    ordered = tuple(names)
    rest = len(ordered) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _has(names: Collection[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
