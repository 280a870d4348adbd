"""What a plan asks of people, as they read it: a restart map, requests, rotations, the offline authority."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page
from pkigen.desired.generations import Phase
from pkigen.notation import dir_option
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.restart_map import leftovers, restart_map, verifies_kubelets_later
from pkigen.reconcile.rollout import StepKind
from pkigen.rotation.next_command import next_command
from pkigen.rotation.phases import NEXT_STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.cli.reports.plan_document import PlannedAction
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.revocations import Revocation
    from pkigen.reconcile.plan import Action
    from pkigen.reconcile.restart_map import Restart
    from pkigen.reconcile.rollout import Copy, RolloutStep

_NAMED = 3
_REVOKED_SHOWN = 10


def waiting_text(waiting: Iterable[Action | PlannedAction], root: str = "") -> Iterator[str]:
    """What nodes have to ask for first, one line for each node and reason; `root` names the directory."""
    gathered: dict[tuple[str | None, str], list[str]] = {}
    for action in waiting:
        gathered.setdefault((action.node, str(action.reason)), []).append(action.id)
    for (node, reason), identifiers in gathered.items():
        some = ", ".join(identifiers[:_NAMED]) + (", …" if len(identifiers) > _NAMED else "")
        count = len(identifiers)
        what = f"{count} certificate{'' if count == 1 else 's'}"
        yield f"waiting for {node} to request {what} ({reason}): {some}"
    if gathered:
        yield "    there: `pkigen airgap node request SPEC --out MEDIUM`; then here, for all requests:"
        yield f"    `{_words('pkigen airgap node approve FILE…', _option(root), '--out MEDIUM')}`"


def _option(root: str) -> str:
    """How a command names the PKI directory; empty where a report does not say where that is."""
    return dir_option(root) if root else ""


def _words(*words: str) -> str:
    """A command line of what there is to say."""
    return " ".join(filter(None, words))


def rotations_text(phases: Mapping[str, str], root: str = "") -> Iterator[str]:
    """The rotations in progress, one line each; `root` leads to the PKI directory."""
    for identifier, phase in sorted(phases.items()):
        command = next_command((identifier,), _option(root), step=NEXT_STEP[Phase(phase)])
        yield f"rotation: {identifier} is {phase}; next: `{command}`"


def revoked_text(revoked: Sequence[Revocation]) -> Iterator[str]:
    """What API servers must refuse, one line each, the newest first; of many the rest is counted."""
    newest = sorted(revoked, key=lambda each: (each.revoked, str(each.credential)), reverse=True)
    yield from (f"revoked: {each}" for each in newest[:_REVOKED_SHOWN])
    if len(newest) > _REVOKED_SHOWN:
        yield f"revoked: {len(newest) - _REVOKED_SHOWN} more (-o json lists every one)"


def pending_text(number: str, created: datetime, count: int, root: str = "") -> str:
    """The request that waits for the offline authority's answer, and what is to be done about it."""
    return (
        f"offline: request {number[:8]} of {created:%Y-%m-%d %H:%M} UTC for {count} "
        f"certificate{'' if count == 1 else 's'} is pending; when the answer arrives: "
        f"`{_words('pkigen airgap authority accept ANSWER', _option(root))}`"
    )


def offline_text(requests: RequestSet | None, root: str) -> Iterator[str]:
    """What is between this directory and its offline authority."""
    if requests is not None:
        yield pending_text(requests.nonce, requests.created, len(requests.requests), root)


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


def rollout_text(step: RolloutStep) -> str:
    """What one step does, in a sentence of its own."""
    match step.kind:
        case StepKind.COPY if step.copy is not None:
            files = f"{len(step.copy.files)} changed file{'' if len(step.copy.files) == 1 else 's'}"
            if step.copy.is_sealed:
                return f"{step.node} gets a bundle with {files}: its keys are there"
            return f"{step.node} gets {files}{_part(step.copy)}"
        case StepKind.REMOVE:
            return f"{step.node} loses {' '.join(step.removes)}, which nothing reads any more"
        case _:
            return f"{step.node}: {step_text(step.restart)}" if step.restart is not None else step.node


def _part(copy: Copy) -> str:
    if copy.only:
        return f" below {' and '.join(copy.only)}"
    return f", none of them below {' or '.join(copy.but)}" if copy.but else ""


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
    if verifies_kubelets_later(steps):
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


def runbook_script(steps: Sequence[RolloutStep], cluster: str) -> str:
    """The restart map as a shell script to be read first and then run on one node at a time."""
    restarts = [step.restart for step in steps if step.restart is not None]
    lines = [
        "#!/bin/sh",
        _comment(f"Restart steps for cluster {cluster}."),
        "# Read it, then run each step on its node: restart.sh NODE STEP",
        "# The order is safe: one etcd member at a time, then the API servers, then the rest.",
        *map(_comment, copying_text(restarts)),
        "set -eu",
        'if [ $# -ne 2 ]; then echo "usage: $0 NODE STEP" >&2; exit 2; fi',
        'case "$2:$1" in',
    ]
    for step in steps:
        if step.restart is not None:
            lines.append(f"  {step.number}:{shlex.quote(step.node)})")
            lines.append(f"    {_comment(step_text(step.restart))}")
            lines.extend(f"    {_comment(f'  {path}')}" for path in step.restart.files)
            lines.extend(f"    {command}" for command in step.commands)
            lines += [f"    {step.health.command if step.health is not None else ':'}", "    ;;"]
        elif step.kind is StepKind.REMOVE:
            lines += [
                f"  remove:{shlex.quote(step.node)})",
                "    # Finally: files that nothing reads any more, which copying did not remove.",
                *(f"    {command}" for command in step.commands),
                "    ;;",
            ]
    lines += ['  *) echo "there is no step $2 on node $1" >&2; exit 2 ;;', "esac"]
    return page(lines) + "\n"


def _comment(text: str) -> str:
    """A comment of a shell script: on one line, whatever a name in it holds."""
    return f"# {''.join(each if each.isprintable() else '?' for each in text)}"
