"""A plan as a person reads it: risks first, one line per object, the same change on many nodes once."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from pkigen.cli.reports.cluster_text import cluster_lines, cluster_summary_text
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.plan_document import Part, Verb
from pkigen.cli.reports.plan_fold import Entry, changed_lines, counted, folded, nodes_text
from pkigen.cli.reports.plan_text import pending_text, rotations_text, waiting_text
from pkigen.notation import dir_option
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.cli.reports.plan_document import PlanDocument, PlannedAction, PlannedRestart
    from pkigen.cli.reports.plan_fold import Count

_MOST_ENTRIES = 8
_MOST_STEPS = 8
_MOST_DIFF = 12
_NAMED = 3
_UNCHANGED = {"keep", "await", "ask"}
SIGNS = {
    Verb.CREATE: "+",
    Verb.RENEW: "~",
    Verb.REISSUE: "!",
    Verb.REWRITE: "~",
    Verb.REMOVE: "-",
    Verb.AWAIT: "=",
    Verb.ASK: "?",
}
TONES = {
    Verb.CREATE: Tone.CREATES,
    Verb.RENEW: Tone.CHANGES,
    Verb.REISSUE: Tone.REPLACES,
    Verb.REWRITE: Tone.CHANGES,
    Verb.REMOVE: Tone.REMOVES,
}
_PLURALS = {
    Part.AUTHORITY: ("CA or key", "CAs and keys"),
    Part.CERTIFICATE: ("certificate", "certificates"),
    Part.KUBECONFIG: ("kubeconfig", "kubeconfigs"),
    Part.CONFIGURATION: ("configuration file", "configuration files"),
    Part.COPY: ("copy", "copies"),
    Part.REMOVAL: ("removal", "removals"),
}


def plan_lines(
    plan: PlanDocument, *, full: bool = False, root: str | None = None, directory: str = ""
) -> Iterator[Line]:
    """The plan in about twenty lines; in full, every object with its files, details and diffs.

    Args:
        plan: The plan.
        full: Whether nothing is left out.
        root: Leads to the PKI directory, for the commands to run in the cluster; None where these come later.
        directory: The same for commands of pkigen's own, where `root` does not say it.
    """
    lines = [
        *_warnings(plan),
        *_revocations(plan, full=full),
        *(_full(plan) if full else _short(plan)),
        *_consequences(plan, root or directory, full=full),
        *_in_cluster(plan, root),
    ]
    yield from lines
    if lines:
        yield Line("")
    yield Line(summary(plan), Tone.TITLE)


def summary(plan: PlanDocument) -> str:
    """The counts on one line."""
    numbers = plan.summary
    changes = ", ".join(
        f"{number} to {verb}" for verb, number in numbers.items() if number and verb not in _UNCHANGED
    )
    due = f", {numbers['await']} due at the offline authority" if numbers.get("await") else ""
    waiting = f", {numbers['ask']} waiting for their nodes" if numbers.get("ask") else ""
    return f"{changes or 'nothing to do'}, {numbers['keep']} unchanged{due}{waiting}"


def objects_text(count: Count) -> str:
    """How many objects of which kinds, and where."""
    kinds = ", ".join(f"{number} {_PLURALS[part][number != 1]}" for part, number in count.objects)
    each = " each" if len(count.nodes) > 1 else ""
    return f"{kinds}{each}"


def compact(plan: PlanDocument) -> tuple[tuple[Entry, ...], tuple[Count, ...]]:
    """The changes that are listed, and of those that are too many, how many there are."""
    listed: list[Entry] = []
    numbers: list[Count] = []
    # Verb by verb: what is removed stays listed one by one, also beside a thousand renewals.
    for verb in Verb:
        actions = [action for action in (*plan.actions, *plan.awaited) if action.action is verb]
        entries = folded(actions)
        if len(entries) <= _MOST_ENTRIES:
            listed += entries
        else:
            numbers += counted(actions)
    return tuple(listed), tuple(numbers)


def steps_text(steps: Iterable[PlannedRestart]) -> Iterator[str]:
    """The restart map; the same on one node after the other is one line."""
    number = 1
    for sentence, group in groupby(steps, key=lambda step: step.sentence):
        nodes = tuple(step.node for step in group)
        last = number + len(nodes) - 1
        turn = ", one after the other" if len(nodes) > 1 else ""
        numbers = f"{number}" if last == number else f"{number}-{last}"
        yield f"{numbers}. {nodes_text(nodes)}: {sentence}{turn}"
        number = last + 1


# -- the parts ---------------------------------------------------------------------------------------------


def _warnings(plan: PlanDocument) -> Iterator[Line]:
    yield from (Line(f"risk: {risk}", Tone.RISK) for risk in plan.risks)
    if plan.authority.is_new:
        yield Line("this makes a NEW authority: there is none here, and none is recorded", Tone.RISK)


def _revocations(plan: PlanDocument, *, full: bool) -> Iterator[Line]:
    for sign, text in revocations_text(plan, full=full):
        yield Line(f"{sign} {text}", Tone.REMOVES if sign == "-" else Tone.CREATES)


def revocations_text(plan: PlanDocument, *, full: bool) -> Iterator[tuple[str, str]]:
    """What is revoked and what passes again, each with its sign."""
    if plan.revocation is None:
        return
    for sign, verb, planned in (
        ("-", "revoke", plan.revocation.revoked),
        ("+", "unrevoke", plan.revocation.lifted),
    ):
        shown = planned if full else planned[:_MOST_ENTRIES]
        for each in shown:
            ends = f", valid until {each.not_after:%Y-%m-%d %H:%M} UTC" if each.not_after else ""
            yield sign, f"{verb} {each.credential} of {each.of}{ends}: {each.reason}"
        if len(planned) > len(shown):
            yield sign, f"{verb} {len(planned) - len(shown)} more (--full of `pkigen show` lists every one)"


def _short(plan: PlanDocument) -> Iterator[Line]:
    listed, numbers = compact(plan)
    for part, entries in groupby(sorted(listed, key=lambda each: list(Part).index(each.part)), _part):
        yield Line(f"{_PLURALS[part][1]}:", Tone.TITLE)
        for entry in entries:
            yield Line(f"  {SIGNS[entry.verb]} {entry.sentence}", TONES.get(entry.verb, Tone.PLAIN))
    if numbers:
        yield from _table(numbers)
    yield from _short_diffs(listed)


def _part(entry: Entry) -> Part:
    return entry.part


def _table(numbers: tuple[Count, ...]) -> Iterator[Line]:
    """What is too much to be listed, in columns."""
    places = [nodes_text(count.nodes) or "the cluster" for count in numbers]
    verbs = [f"{SIGNS[count.verb]} {count.verb} ({count.reason})" for count in numbers]
    wide, long = max(map(len, verbs)), max(map(len, places))
    for count, verb, place in zip(numbers, verbs, places, strict=True):
        text = f"{verb.ljust(wide)}  {place.ljust(long)}  {objects_text(count)}"
        yield Line(text, TONES.get(count.verb, Tone.PLAIN))
    yield Line("  (--full lists every object)", Tone.QUIET)


def _short_diffs(entries: Iterable[Entry]) -> Iterator[Line]:
    """What changes in files, as far as it fits: without context."""
    diffs = [entry for entry in entries if entry.diff]
    # All or none: some of the diffs would look like all of them.
    fits = sum(len(list(changed_lines(entry.diff))) for entry in diffs) <= _MOST_DIFF
    for entry in diffs if fits else ():
        yield Line(f"{entry.place}:", Tone.TITLE)
        yield from (Line(f"  {line}", _diff_tone(line), is_whole=True) for line in changed_lines(entry.diff))
    if diffs and not fits:
        yield Line(f"({len(diffs)} files change in their text; --full shows how)", Tone.QUIET)


def _full(plan: PlanDocument) -> Iterator[Line]:
    """Every object, by node and kind."""
    by_place: dict[str | None, list[PlannedAction]] = {}
    for action in (*plan.actions, *plan.awaited):
        by_place.setdefault(action.node, []).append(action)
    parts = list(Part)
    # The cluster's own objects first, which those of nodes follow from; nodes stay in the inventory's order.
    for node in sorted(by_place, key=lambda each: each is not None):
        yield Line(f"{node or 'the cluster'}:", Tone.TITLE)
        for action in sorted(by_place[node], key=lambda each: parts.index(each.part)):
            yield from _object(action)


def _object(action: PlannedAction) -> Iterator[Line]:
    tone = TONES.get(action.action, Tone.PLAIN)
    yield Line(f"{SIGNS[action.action]} {action.action} {action.id} ({action.reason})", tone)
    yield from (Line(f"    {detail}") for detail in action.details)
    certificate = action.certificate
    if certificate is not None:
        before = f"{certificate.expires:%Y-%m-%d} → " if certificate.expires else ""
        issuer = f", signed by {certificate.issuer}" if certificate.issuer else ", self-signed"
        if certificate.offline:
            named = f" ({certificate.issuer})" if certificate.issuer else ""
            issuer = f", from the offline authority{named}"
        yield Line(
            f"    expires {before}{certificate.will_expire:%Y-%m-%d}, {certificate.key_algorithm}{issuer}"
        )
    yield from (Line(f"    {line}", _diff_tone(line), is_whole=True) for line in unified(action))


def unified(action: PlannedAction) -> tuple[str, ...]:
    """The unified diff of an action's file, with its head."""
    if not action.diff:
        return ()
    return (f"--- {action.paths[0]}", f"+++ {action.paths[0]}", *action.diff)


def _diff_tone(line: str) -> Tone:
    return {"+": Tone.CREATES, "-": Tone.REMOVES, "@": Tone.QUIET}.get(line[:1], Tone.PLAIN)


def _consequences(plan: PlanDocument, root: str, *, full: bool) -> Iterator[Line]:
    yield from (Line(caution) for caution in plan.cautions)
    if plan.restarts:
        yield Line("after this is on the nodes:", Tone.TITLE)
    if full or len(plan.restarts) <= _MOST_STEPS:
        for number, step in enumerate(plan.restarts, start=1):
            yield Line(f"  {number}. {step.node}: {step.sentence}")
    else:
        yield from (Line(f"  {text}") for text in steps_text(plan.restarts))
    if plan.leftovers:
        yield Line("remove on the nodes, because copying a tree removes nothing:", Tone.TITLE)
    yield from (Line(f"  {each.node}: {' '.join(each.files)}") for each in plan.leftovers)
    yield from map(Line, spread_text(plan))
    yield from map(Line, waiting_text(plan.waiting, root))
    yield from map(Line, advice_text(plan, full=full))
    yield from map(Line, unjudged(plan))
    yield from map(Line, next_steps(plan, root))


def _in_cluster(plan: PlanDocument, root: str | None) -> Iterator[Line]:
    steps = [each.step for each in plan.in_cluster]
    if root is not None:
        yield from cluster_lines(steps, root)
    elif steps:
        yield Line(f"then in the cluster: {cluster_summary_text(steps)}")


def spread_text(plan: PlanDocument) -> Iterator[str]:
    """That the certificates of the plan end earlier than the spec's validity says, and why."""
    if plan.expiry_spread and any(each.certificate for each in (*plan.actions, *plan.awaited)):
        yield (
            f"expiries are spread: each certificate ends up to {plan.expiry_spread}% of its validity "
            "earlier, always by the same share, so that those of many clusters are not due on one day"
        )


def advice_text(plan: PlanDocument, *, full: bool) -> Iterator[str]:
    """What was adopted and is not as pkigen makes it: how much for which reason, in full each of it."""
    for reason, count in sorted(Counter(each.reason for each in plan.advice).items()):
        yield advice_line(count, reason)
        for each in plan.advice if full else ():
            if each.reason is reason:
                yield f"  {each.id}: {'; '.join(each.details)}"


def advice_line(count: int, reason: Reason) -> str:
    """How many adopted objects differ from pkigen's own in one way."""
    # A CA is kept whatever its age.
    until = "rotated" if reason is Reason.SHARED_KEY else "due"
    return f"advice: {count} adopted object{'' if count == 1 else 's'} kept until {until} ({reason})"


def unjudged(plan: PlanDocument) -> Iterator[str]:
    """What the plan cannot know."""
    yield from plan.not_judged
    yield from (f"assumed: {premise}" for premise in (plan.rotation.premises if plan.rotation else ()))
    if plan.withheld:
        yield (
            f"not judged: {len(plan.withheld)} objects whose private files are not in this checkout; "
            "applying this plan leaves them as they are, but for what it lists: "
            f"{', '.join(plan.withheld[:_NAMED])}{', …' if len(plan.withheld) > _NAMED else ''}"
        )


def next_steps(plan: PlanDocument, root: str = "") -> Iterator[str]:
    """The next steps of rotations in progress, unless the plan is one itself; `root` names the directory."""
    # A step of a rotation says itself what comes next, once it is taken.
    if not any(action.reason is Reason.ROTATION for action in plan.actions):
        yield from rotations_text(plan.rotations, root)


def offline_text(plan: PlanDocument, root: str) -> Iterator[str]:
    """What is between this directory and its offline authority, and what is to be done about it."""
    if plan.request is not None:
        request = plan.request
        yield pending_text(request.number, request.created, len(request.certificates), root)
        return
    offline = [each for each in plan.actions if each.certificate and each.certificate.offline]
    count = len(offline) + len(plan.awaited)
    if count:
        yield (
            f"offline: {count} certificate{' comes' if count == 1 else 's come'} from the offline authority: "
            f"`pkigen airgap authority request{f' {dir_option(root)}' if root else ''}`"
        )
