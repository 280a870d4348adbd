"""A plan and a restart map as a person reads them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pkigen.cli.reports.structured import counts
from pkigen.cli.reports.tables import page
from pkigen.desired.file_references import foreign_files, not_judged
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.restart_commands import health_check, restart_commands
from pkigen.reconcile.restart_map import Effect, leftovers, restart_map
from pkigen.rotation.phases import COMMANDS, NEXT_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.desired.generations import Rotations
    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action, Plan
    from pkigen.reconcile.restart_map import Restart
    from pkigen.spec.model import ClusterSpec

_NAMED = 3
_UNCHANGED = {"keep", "await", "ask"}
_SIGNS = {"create": "+", "renew": "~", "reissue": "!", "rewrite": "~", "remove": "-", "await": "="}


def plan_text(plan: Plan, inventory: Inventory, risks: Iterable[str]) -> str:
    """The whole plan: changes with reasons, then restarts, then risks, then the counts."""
    lines = [line for each in (*plan.changes, *plan.awaited) for line in _action(each)]
    consequences = tuple(consequences_text(inventory, plan.changes))
    if consequences:
        lines += ["", *consequences]
    lines += waiting_text(plan)
    if plan.makes_authority:
        lines.append("this makes a NEW authority: there is none here, and none is recorded")
    lines += not_judged(foreign_files(inventory))
    lines += [f"risk: {risk}" for risk in risks]
    if not plan.rotated:
        lines += rotations_text(inventory.rotations)
    if lines:
        lines.append("")
    lines.append(summary(plan))
    return page(lines)


def waiting_text(plan: Plan) -> Iterator[str]:
    """What nodes have to ask for first, one line for each node and reason."""
    gathered: dict[tuple[str | None, str], list[str]] = {}
    for action in plan.waiting:
        gathered.setdefault((action.node, str(action.reason)), []).append(action.id)
    for (node, reason), identifiers in gathered.items():
        some = ", ".join(identifiers[:_NAMED]) + (", …" if len(identifiers) > _NAMED else "")
        count = len(identifiers)
        what = f"{count} certificate{'' if count == 1 else 's'}"
        yield f"waiting for {node} to request {what} ({reason}): {some}"
    if gathered:
        yield "    there: `pkigen node request SPEC --out MEDIUM`; then here, for all requests:"
        yield "    `pkigen node approve FILE… --out MEDIUM`"


def rotations_text(rotations: Rotations) -> Iterator[str]:
    """The rotations in progress, one line each."""
    for identifier, phase in sorted(rotations.phases.items()):
        yield (
            f"rotation: {identifier} is {phase}; next: `pkigen rotate {COMMANDS[identifier]} "
            f"--phase {NEXT_STEP[phase]}`"
        )


def offline_text(requests: RequestSet | None, plan: Plan | None = None) -> Iterator[str]:
    """What is between this directory and its offline authority, and what is to be done about it."""
    if requests is not None:
        count = len(requests.requests)
        yield (
            f"offline: request {requests.nonce[:8]} of {requests.created:%Y-%m-%d %H:%M} UTC for {count} "
            f"certificate{'' if count == 1 else 's'} is pending; when the answer arrives: "
            "`pkigen authority accept`"
        )
    elif plan is not None and (plan.offline or plan.awaited):
        count = len(plan.offline) + len(plan.awaited)
        yield (
            f"offline: {count} certificate{' comes' if count == 1 else 's come'} from the offline authority: "
            "`pkigen authority request`"
        )


def summary(plan: Plan) -> str:
    """The counts on one line."""
    numbers = counts(plan.actions)
    changes = ", ".join(
        f"{number} to {verb}" for verb, number in numbers.items() if number and verb not in _UNCHANGED
    )
    due = f", {numbers['await']} due at the offline authority" if numbers.get("await") else ""
    waiting = f", {numbers['ask']} waiting for their nodes" if numbers["ask"] else ""
    return f"{changes or 'nothing to do'}, {numbers['keep']} unchanged{due}{waiting}"


def consequences_text(inventory: Inventory, changes: Iterable[Action]) -> Iterator[str]:
    """What a change asks of the nodes: what restarts or reloads there, and what has to be removed."""
    changes = tuple(changes)
    steps = restart_map(inventory, changes)
    yield from copying_text(steps)
    if steps:
        yield "after this is on the nodes:"
    yield from restart_text(steps)
    yield from leftovers_text(inventory, changes)


def restart_text(steps: Iterable[Restart]) -> Iterator[str]:
    """The restart map, one line a step, in a safe order."""
    for number, step in enumerate(steps, start=1):
        yield f"  {number}. {step.node}: {step_text(step)}"


def leftovers_text(inventory: Inventory, changes: Iterable[Action]) -> Iterator[str]:
    """The files that somebody has to remove on the nodes."""
    found = leftovers(inventory, changes)
    if found:
        yield "remove on the nodes, because copying a tree removes nothing:"
    for node, paths in found.items():
        yield f"  {node}: {' '.join(paths)}"


def step_text(step: Restart) -> str:
    """What one step asks for."""
    removed = f", once {' '.join(step.removes)} is gone" if step.removes else ""
    if step.forgets:
        removed += f", without {' '.join(step.forgets)}, which it would prefer to its new certificate"
    return f"{step.component} {_EFFECTS[step.effect].format(member=step.member)}{removed}{_turn(step)}"


def _turn(step: Restart) -> str:
    """What a step asks for whose node must not have its new files before."""
    if not step.copies:
        return ""
    address = f"give {step.node} its new address and " if step.moves else ""
    return f": {address}copy its files there now, and no other member's before it is healthy"


def copying_text(steps: Sequence[Restart]) -> Iterator[str]:
    """What must not be on a node before its step."""
    if any(step.copies for step in steps):
        yield (
            "copy no etcd member's files before the step that says so: members that change together have no "
            "quorum"
        )
    order = [step.component for step in steps]
    api_server, kubelet = ComponentName.API_SERVER, ComponentName.KUBELET
    if {api_server, kubelet} <= set(order) and order.index(kubelet) < order.index(api_server):
        yield (
            "copy what is below /var/lib/kubelet first, and manifests, units and flags only when every "
            "kubelet is done: the API servers verify kubelets from then on"
        )


_EFFECTS = {
    Effect.EXPELS: "must remove the member {member} before it is switched off",
    Effect.ADMITS: "must add the member {member} before it starts for the first time",
    Effect.MOVES: "must be told that the member {member} moves, while it runs with its old files",
    Effect.STARTS: "starts for the first time",
    Effect.RESTART: "must restart",
    Effect.RECREATED: "is recreated by the kubelet when its manifest arrives",
    Effect.RELOADS: "reloads by itself",
}


def runbook_script(
    steps: Iterable[Restart], cluster: ClusterSpec, remaining: Mapping[str, Sequence[str]]
) -> str:
    """The restart map as a shell script to be read first and then run on one node at a time."""
    steps = tuple(steps)
    lines = [
        "#!/bin/sh",
        _comment(f"Restart steps for cluster {cluster.name}."),
        "# Read it, then run each step on its node: restart.sh NODE STEP",
        "# The order is safe: one etcd member at a time, then the API servers, then the rest.",
        *map(_comment, copying_text(steps)),
        "set -eu",
        'if [ $# -ne 2 ]; then echo "usage: $0 NODE STEP" >&2; exit 2; fi',
        'case "$2:$1" in',
    ]
    for number, step in enumerate(steps, start=1):
        lines.append(f"  {number}:{shlex.quote(step.node)})")
        lines.append(f"    {_comment(step_text(step))}")
        lines.extend(f"    {_comment(f'  {path}')}" for path in step.files)
        commands = restart_commands(step, cluster)
        lines.extend(f"    {command}" for command in commands)
        is_watched = commands or step.effect is Effect.RECREATED
        lines.append(f"    {health_check(step, cluster)}" if is_watched else "    :")
        lines.append("    ;;")
    for node, paths in remaining.items():
        lines += [
            f"  remove:{shlex.quote(node)})",
            "    # Finally: files that nothing reads any more, which copying did not remove.",
        ]
        lines += [f"    rm -f {shlex.quote(path)}" for path in paths]
        lines.append("    ;;")
    lines += ['  *) echo "there is no step $2 on node $1" >&2; exit 2 ;;', "esac"]
    return page(lines) + "\n"


def _comment(text: str) -> str:
    """A comment of a shell script: on one line, whatever a name in it holds."""
    return f"# {''.join(each if each.isprintable() else '?' for each in text)}"


def _action(action: Action) -> Iterator[str]:
    yield f"{_SIGNS[action.verb]} {action.verb} {action.id} ({action.reason})"
    for detail in action.details:
        yield f"    {detail}"
    change = action.reissuance
    if change is not None:
        before = f"{change.expires:%Y-%m-%d} → " if change.expires else ""
        issuer = f", signed by {change.issuer}" if change.issuer else ", self-signed"
        if change.offline:
            issuer = f", from the offline authority{f' ({change.issuer})' if change.issuer else ''}"
        yield f"    expires {before}{change.will_expire:%Y-%m-%d}, {change.key_algorithm}{issuer}"
