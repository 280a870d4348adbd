"""What to do on one node, in order: the text that its bundle carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.carrier.format import RestartStep
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.plan import Rewrite
from pkigen.reconcile.restart_commands import health_check, restart_commands
from pkigen.reconcile.restart_map import admission, restart_map
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.restart_map import Restart
    from pkigen.spec.model import Node


def restart_steps(inventory: Inventory) -> Mapping[str, tuple[Restart, ...]]:
    """What every component of every node does when its files change, by node."""
    everything = [
        Rewrite(id=path, paths=(path,), node=None, reason=Reason.CONTENT_CHANGED)
        for item in inventory.items
        for path in item.paths
    ]
    steps: dict[str, list[Restart]] = {}
    for step in restart_map(inventory, everything):
        steps.setdefault(step.node, []).append(step)
    return {node: tuple(each) for node, each in steps.items()}


def carried_steps(steps: tuple[Restart, ...], inventory: Inventory) -> tuple[RestartStep, ...]:
    """The same for the manifest."""
    return tuple(
        RestartStep(
            component=step.component,
            effect=step.effect,
            files=tuple(path.lstrip("/") for path in step.files),
            # Who reads changed files by itself needs no command.
            commands=(*restart_commands(step, inventory.cluster), health_check(step, inventory.cluster))
            if step.effect is Effect.RESTART
            else (),
        )
        for step in steps
    )


def runbook(node: Node, steps: tuple[RestartStep, ...], inventory: Inventory) -> str:
    """The text for the person at the node."""
    cluster = inventory.cluster
    lines = [
        f"node {node.name} ({', '.join(sorted(node.roles))}) of cluster {cluster.name}",
        f"Kubernetes {cluster.spec.kubernetes_version}",
        "",
        "1. Carry this node's bundle here, and nothing else. Compare the fingerprint of the cluster's bundle",
        "   key, which `pkigen init` printed, by another channel than the medium (telephone, paper).",
        "2. Check before you change anything:",
        "     pkigen airgap bundle verify FILE --pin FINGERPRINT",
        "     pkigen airgap bundle diff FILE --pin FINGERPRINT",
        "3. Install, as root. A backup keeps what is replaced; `pkigen airgap bundle rollback` restores it:",
        "     pkigen airgap bundle install FILE --pin FINGERPRINT",
        *_first_start(node, inventory),
        "   On a running one: restart what install names, one node at a time, in this order:",
        "",
    ]
    for step in steps:
        lines.append(f"   {step.component}: {step.effect}")
        lines.extend(f"     {command}" for command in step.commands)
    lines += ["", "5. Destroy the copy on the medium.", ""]
    return "\n".join(lines)


def _first_start(node: Node, inventory: Inventory) -> tuple[str, ...]:
    """An etcd member ends with an error unless the cluster was told of it before (etcd, `member add`)."""
    start = "start the kubelet (`systemctl enable --now kubelet`)."
    if node.name not in inventory.etcd.joined:
        return (f"4. On a new node: {start}",)
    asked = admission(inventory, node.name)
    return (
        f"4. On a new node: its etcd joins a running cluster. Add the member first, on {asked.node}:",
        *(f"     {command}" for command in restart_commands(asked, inventory.cluster)),
        f"   then {start}",
    )
