"""The restart map: which component on which node must restart after a change, and which reloads by itself.

Who reads a certificate stands in its row of `desired.certificates`; who reads what else nodes have stands
here. The tables follow what Kubernetes and etcd do with a file that changes under them: section by section
from `apiserver/pkg/server/options`, `kube-controller-manager/app`, `client-go/transport`, `pkg/kubelet` and
etcd's `client/pkg/transport/listener.go`. Nothing here restarts anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.certificates import KUBELET
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.file_readers import Effect, Read, Running, own_kubelet_certificate, reads_of
from pkigen.reconcile.plan import Create, Remove
from pkigen.records import dataclass
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """One component on one node, and what its changed files ask of it.

    `files` are absolute paths on the node. `member` is whom an etcd member admits or expels, or itself, if it
    moves. `removes` is the manifest or unit that ran the component until now: copying a tree over a node
    takes nothing away. `copies` says that the node must not have its new files before this step, or members
    would be away together; `moves` that the machine has another address from then on.
    `forgets` are files of the component's own that it would prefer to what is new.
    """

    node: str
    component: ComponentName
    effect: Effect
    files: tuple[str, ...]
    member: str | None = None
    removes: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()
    copies: bool = False
    moves: bool = False


def restart_map(inventory: Inventory, changes: Iterable[Action]) -> tuple[Restart, ...]:
    """What a plan's changes ask of the running components, in a safe order: etcd, API servers, the rest.

    Within a component nodes come by name, to be done one at a time. An etcd member is admitted right before
    it starts, and must be healthy before the next one is admitted: etcd refuses that otherwise. Where API
    servers begin to verify kubelets, these come first, or nobody could see logs in between.
    """
    changes = tuple(changes)
    if not changes:
        return ()  # most plans have none, and what every component reads need not be found out for them
    asked = _asked_of_components(inventory, changes)
    newcomers = _newcomers(inventory, asked)
    # One that only joins now has had no address that could change.
    movers = _nodes_with(changes, Reason.MEMBER_MOVES) - newcomers
    steps = _ordered(
        asked,
        newcomers,
        first=ComponentName.KUBELET if _nodes_with(changes, Reason.VERIFIES_KUBELETS) else None,
        removes=_former_definitions(inventory, changes),
        forgets=_outdated_credentials(inventory, changes),
    )
    former = _former_members(changes, inventory)
    return (
        *(_membership(inventory, Effect.EXPELS, name, movers) for name in former),
        *_with_admissions(_one_by_one(steps, movers, inventory), newcomers, inventory),
    )


def verifies_kubelets_later(steps: Iterable[Restart]) -> bool:
    """Whether API servers begin to verify kubelets, which therefore have to be done first."""
    order = [step.component for step in steps]
    api_server, kubelet = ComponentName.API_SERVER, ComponentName.KUBELET
    return {api_server, kubelet} <= set(order) and order.index(kubelet) < order.index(api_server)


def _newcomers(inventory: Inventory, asked: Mapping[Running, Collection[Effect]]) -> set[str]:
    """The nodes whose etcd joins a cluster that runs."""
    return {
        node
        for (component, node), effects in asked.items()
        if component is ComponentName.ETCD and Effect.STARTS in effects and node in inventory.etcd.joined
    }


def _nodes_with(changes: Iterable[Action], reason: Reason) -> set[str]:
    """The nodes on which something changes for a reason; one that only loses files is none."""
    return {
        change.node
        for change in changes
        if change.reason is reason and change.node is not None and not isinstance(change, Remove)
    }


def _one_by_one(steps: Iterable[Restart], movers: Collection[str], inventory: Inventory) -> Iterator[Restart]:
    """Members of etcd get their new files in turn: with all of them away at once there is no quorum."""
    # With one member there is no order that keeps etcd up.
    several = len(inventory.cluster.etcd_members) > 1
    for step in steps:
        if step.component is not ComponentName.ETCD:
            yield step
            continue
        moves = step.node in movers
        if moves:
            yield Restart(
                node=step.node, component=step.component, effect=Effect.MOVES, files=(), member=step.node
            )
        # The kubelet restarts a static Pod as soon as its manifest changes; a unit waits to be restarted.
        is_away = moves or (several and step.effect is Effect.RECREATED)
        yield replace(step, copies=is_away, moves=moves)


def _asked_of_components(
    inventory: Inventory, changes: Collection[Action]
) -> dict[Running, dict[Effect, list[str]]]:
    """The files that changed for each component on each node, by what they ask of it."""
    # The same certificates in another order: who has read them need not read them again.
    changed = _paths(each for each in changes if each.reason is not Reason.ORDER_CHANGED)
    at_start = _at_start_alone(changes)
    reads = tuple(reads_of(inventory))
    asked: dict[Running, dict[Effect, list[str]]] = {}
    for read in reads:
        if touched := [path for path in read.files if path in changed]:
            effect = Effect.RESTART if at_start.intersection(touched) else read.effect
            names = [_on_node(path, read.running[1]) for path in touched]
            asked.setdefault(read.running, {}).setdefault(effect, []).extend(names)
    for running in asked.keys() - _known(reads, changes):
        # Only own files tell: a copy of a CA is new on a node whose component has run for long.
        asked[running][Effect.STARTS] = []
    return asked


def _at_start_alone(changes: Iterable[Action]) -> set[str]:
    """Files that are read again when they change, but not for what changes in them now.

    pkg/kubeapiserver/options/authentication.go refuses all of a file whose `anonymous` has changed.
    """
    return _paths(each for each in changes if each.reason is Reason.ANONYMOUS_CHANGED)


def _known(reads: Iterable[Read], changes: Iterable[Action]) -> set[Running]:
    """What has run before: a component all of whose own files are new has not."""
    created = _paths(each for each in changes if isinstance(each, Create))
    return {read.running for read in reads if read.is_own and not created.issuperset(read.files)}


def leftovers(inventory: Inventory, changes: Iterable[Action]) -> dict[str, tuple[str, ...]]:
    """The files that nodes hold from before and should lose, by node: copying takes nothing away.

    What a step of the restart map removes is left out.
    """
    changes = tuple(changes)
    removed = {path for step in restart_map(inventory, changes) for path in step.removes}
    found: dict[str, list[str]] = {}
    for node, path in _removed_on_nodes(inventory, changes):
        if path not in removed:
            found.setdefault(node, []).append(path)
    return {node: tuple(sorted(paths)) for node, paths in sorted(found.items())}


def _removed_on_nodes(inventory: Inventory, changes: Iterable[Action]) -> Iterator[tuple[str, str]]:
    """Files that go from nodes that stay, by node, as the node knows them."""
    nodes = {node.name for node in inventory.cluster.spec.nodes}
    for action in changes:
        # A node that leaves the spec keeps its files: nobody copies a tree to it any more.
        if isinstance(action, Remove) and action.node in nodes:
            for path in action.paths:
                yield action.node, _on_node(path, action.node)


def _former_definitions(inventory: Inventory, changes: Iterable[Action]) -> dict[Running, tuple[str, ...]]:
    """What ran a component of a node that runs in another way from now on."""
    definitions = {
        path: component
        for component in ComponentName
        for path in (
            f"{layout.MANIFESTS_DIRECTORY}/{component}.yaml",
            f"{layout.SYSTEMD_DIRECTORY}/{component}.service",
        )
    }
    return {
        (definitions[path], node): (path,)
        for node, path in _removed_on_nodes(inventory, changes)
        if path in definitions
    }


def _outdated_credentials(inventory: Inventory, changes: Iterable[Action]) -> dict[Running, tuple[str, ...]]:
    """The certificates that kubelets have got for themselves, where kubelet.conf has a newer one.

    A kubelet reads kubelet.conf only while it has none of its own (client-go `certificate_manager.go`,
    `getCurrentCertificateOrBootstrap`), be it as old as it may.
    """
    changes = tuple(changes)
    issued = {change.id for change in changes if change.reissuance is not None}
    shown_again = _nodes_with(changes, Reason.CREDENTIAL_CHANGED)
    cluster = inventory.cluster
    return {
        (ComponentName.KUBELET, node.name): (own,)
        for node in cluster.spec.nodes
        if KUBELET.id_on(node.name) in issued or node.name in shown_again
        if (own := own_kubelet_certificate(cluster, node)) is not None
    }


def _paths(actions: Iterable[Action]) -> set[str]:
    """Every path that these actions write."""
    return {path for action in actions if not isinstance(action, Remove) for path in action.paths}


def _ordered(
    asked: dict[Running, dict[Effect, list[str]]],
    newcomers: Collection[str],
    *,
    first: ComponentName | None,
    removes: Mapping[Running, tuple[str, ...]],
    forgets: Mapping[Running, tuple[str, ...]],
) -> Iterator[Restart]:
    """One step for each component on each node: components in the safe order, newcomers after the others."""
    # The enum is in the safe order; `sorted` is stable, so only the first one is moved.
    order = sorted(ComponentName, key=lambda component: component is not first)
    for component, node in sorted(
        asked, key=lambda running: (order.index(running[0]), running[1] in newcomers, running[1])
    ):
        effects = asked[component, node]
        files = {path for each in effects.values() for path in each}
        yield Restart(
            node=node,
            component=component,
            effect=_weightiest(effects),
            files=tuple(sorted(files)),
            removes=removes.get((component, node), ()),
            # One that has never run has nothing of its own yet.
            forgets=() if Effect.STARTS in effects else forgets.get((component, node), ()),
        )


def admission(inventory: Inventory, member: str) -> Restart:
    """What an etcd cluster must be asked before one that joins it starts for the first time."""
    return _membership(inventory, Effect.ADMITS, member)


def _with_admissions(
    steps: Iterable[Restart], newcomers: Collection[str], inventory: Inventory
) -> Iterator[Restart]:
    """Put before each newcomer's start the step that has etcd admit it."""
    for step in steps:
        if step.component is ComponentName.ETCD and step.node in newcomers:
            yield admission(inventory, step.node)
        yield step


def _membership(inventory: Inventory, effect: Effect, member: str, movers: Collection[str] = ()) -> Restart:
    """A step at the member that has been there longest, and stays where it is if any does."""
    members = (*inventory.etcd.founders, *inventory.etcd.joined)
    # One that moves itself may be away when it is asked.
    asked = next((each for each in members if each not in movers), members[0])
    return Restart(node=asked, component=ComponentName.ETCD, effect=effect, files=(), member=member)


def _former_members(changes: Iterable[Action], inventory: Inventory) -> list[str]:
    """The nodes whose etcd peer certificate goes, where somebody is left to be asked to let them go."""
    gone = (path for action in changes if isinstance(action, Remove) for path in action.paths)
    # Every member has a peer certificate, and nothing else does.
    names = {path.split("/")[1] for path in gone if path.endswith("/etcd/peer.crt")}
    staying = {member.name for member in inventory.cluster.etcd_members}
    return sorted(names - staying) if staying else []


def _weightiest(effects: dict[Effect, list[str]]) -> Effect:
    """The effect that includes all others: `Effect` lists them in that order."""
    return next(effect for effect in Effect if effect in effects)


def _on_node(path: str, node: str) -> str:
    """A path as the node knows it."""
    return path.removeprefix(f"nodes/{node}")
