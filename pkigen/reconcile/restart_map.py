"""The restart map: which component on which node must restart after a change, and which reloads by itself.

The table follows what Kubernetes and etcd do with a file that changes under them: section by section from
`apiserver/pkg/server/options`, `kube-controller-manager/app`, `client-go/transport`, `pkg/kubelet` and etcd's
`client/pkg/transport/listener.go`. Nothing here restarts anything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    FileKind,
    MaterialKind,
    paths_of,
)
from pkigen.reconcile.plan import Create, Remove
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action


class ComponentName(enum.StrEnum):
    """What runs on a node, in the order in which it is safe to restart."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    KUBE_PROXY = "kube-proxy"


class Effect(enum.StrEnum):
    """What a changed file asks of the component that reads it, the weightiest first.

    The first two are asked of an etcd member because another one leaves or comes, which the step names.
    """

    EXPELS = "removes a member"
    ADMITS = "adds a member"
    STARTS = "starts for the first time"
    RESTART = "restart"
    RECREATED = "recreated by the kubelet"
    RELOADS = "reloads by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """One component on one node, and what its changed files ask of it.

    `files` are absolute paths on the node. `member` is whom an etcd member admits or expels. `removes` is the
    manifest or unit that ran the component until now: copying a tree over a node takes nothing away.
    """

    node: str
    component: ComponentName
    effect: Effect
    files: tuple[str, ...]
    member: str | None = None
    removes: tuple[str, ...] = ()


_Reader = tuple[ComponentName, Effect]

_CERTIFICATE_READERS: dict[str, tuple[_Reader, ...]] = {
    "etcd-server": ((ComponentName.ETCD, Effect.RELOADS),),  # listener.go: per handshake
    "etcd-peer": ((ComponentName.ETCD, Effect.RELOADS),),
    "apiserver": ((ComponentName.API_SERVER, Effect.RELOADS),),  # options/serving.go
    "apiserver-kubelet-client": ((ComponentName.API_SERVER, Effect.RELOADS),),  # within 5 minutes
    "apiserver-etcd-client": ((ComponentName.API_SERVER, Effect.RELOADS),),  # with every new connection
    "front-proxy-client": ((ComponentName.API_SERVER, Effect.RELOADS),),
    "controller-manager.conf": (
        (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    ),  # embedded data is read once
    "scheduler.conf": ((ComponentName.SCHEDULER, Effect.RESTART),),
    "kubelet.conf": ((ComponentName.KUBELET, Effect.RESTART),),
    "kube-proxy.conf": ((ComponentName.KUBE_PROXY, Effect.RESTART),),
    "kubelet-serving": ((ComponentName.KUBELET, Effect.RELOADS),),
}

_MATERIAL_READERS: dict[tuple[MaterialKind, CA | None], tuple[_Reader, ...]] = {
    (MaterialKind.TRUST_BUNDLE, CA.KUBERNETES): (
        # --client-ca-file reloads, --kubelet-certificate-authority only from 1.36 on, --root-ca-file never.
        (ComponentName.API_SERVER, Effect.RESTART),
        (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
        (ComponentName.KUBELET, Effect.RELOADS),
    ),
    (MaterialKind.TRUST_BUNDLE, CA.ETCD): (
        (ComponentName.ETCD, Effect.RESTART),
        (ComponentName.API_SERVER, Effect.RESTART),
    ),
    (MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY): (
        (ComponentName.API_SERVER, Effect.RELOADS),
        (ComponentName.CONTROLLER_MANAGER, Effect.RELOADS),
    ),
    (MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES): ((ComponentName.CONTROLLER_MANAGER, Effect.RELOADS),),
    (MaterialKind.CA_KEY, CA.KUBERNETES): ((ComponentName.CONTROLLER_MANAGER, Effect.RELOADS),),
    (MaterialKind.SA_PRIVATE_KEY, None): (
        (ComponentName.API_SERVER, Effect.RESTART),
        (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    ),
    (MaterialKind.SA_PUBLIC_KEY, None): ((ComponentName.API_SERVER, Effect.RESTART),),
}

_FILE_READERS: dict[FileKind, _Reader] = {
    FileKind.ETCD: (ComponentName.ETCD, Effect.RECREATED),
    FileKind.KUBE_APISERVER: (ComponentName.API_SERVER, Effect.RECREATED),
    FileKind.KUBE_CONTROLLER_MANAGER: (ComponentName.CONTROLLER_MANAGER, Effect.RECREATED),
    FileKind.KUBE_SCHEDULER: (ComponentName.SCHEDULER, Effect.RECREATED),
    FileKind.ETCD_UNIT: (ComponentName.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_UNIT: (ComponentName.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_UNIT: (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_UNIT: (ComponentName.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_UNIT: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_UNIT: (ComponentName.KUBE_PROXY, Effect.RESTART),
    FileKind.ETCD_FLAGS: (ComponentName.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_FLAGS: (ComponentName.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: (ComponentName.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_FLAGS: (ComponentName.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_FLAGS: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_FLAGS: (ComponentName.KUBE_PROXY, Effect.RESTART),
    FileKind.KUBELET_CONFIGURATION: (ComponentName.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_CONFIGURATION: (ComponentName.KUBE_PROXY, Effect.RESTART),
    FileKind.ENCRYPTION_CONFIGURATION: (ComponentName.API_SERVER, Effect.RESTART),
}


def restart_map(inventory: Inventory, changes: Iterable[Action]) -> tuple[Restart, ...]:
    """What a plan's changes ask of the running components, in a safe order: etcd, API servers, the rest.

    Within a component nodes come by name, to be done one at a time. An etcd member is admitted right before
    it starts, and must be healthy before the next one is admitted: etcd refuses that otherwise.
    """
    changes = tuple(changes)
    changed = _paths(each for each in changes if each.reason is not Reason.ORDER_CHANGED)
    created = _paths(each for each in changes if isinstance(each, Create))
    present = _components(inventory)
    gathered: dict[_Running, dict[Effect, list[str]]] = {}
    known: set[_Running] = set()
    for item in inventory.items:
        node = getattr(item, "node", None)
        if node is None:
            continue
        files = _files(item)
        for component, effect in _readers(item, present):
            if isinstance(item, DesiredCertificate | DesiredFile) and not created.issuperset(files):
                known.add((component, node))
            if touched := [_on_node(path, node) for path in files if path in changed]:
                gathered.setdefault((component, node), {}).setdefault(effect, []).extend(touched)
    for running in gathered.keys() - known:
        gathered[running][Effect.STARTS] = []
    newcomers = {
        name for name in inventory.etcd.joined if (ComponentName.ETCD, name) in gathered.keys() - known
    }
    return (
        *(_asked(inventory, Effect.EXPELS, name) for name in _former_members(changes, inventory)),
        *_with_admissions(
            _ordered(gathered, newcomers, _former_definitions(inventory, changes)), newcomers, inventory
        ),
    )


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
    nodes = {node.name for node in inventory.cluster.spec.nodes}
    for action in changes:
        if isinstance(action, Remove) and action.node in nodes:
            for path in action.paths:
                yield action.node, _on_node(path, action.node)


def _former_definitions(inventory: Inventory, changes: Iterable[Action]) -> dict[_Running, tuple[str, ...]]:
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


_Running = tuple[ComponentName, str]
"""A component on a node."""


def _paths(actions: Iterable[Action]) -> set[str]:
    return {path for action in actions if not isinstance(action, Remove) for path in action.paths}


def _ordered(
    gathered: dict[_Running, dict[Effect, list[str]]],
    newcomers: Collection[str],
    former: Mapping[_Running, tuple[str, ...]],
) -> Iterator[Restart]:
    order = list(ComponentName)
    for component, node in sorted(
        gathered, key=lambda running: (order.index(running[0]), running[1] in newcomers, running[1])
    ):
        effects = gathered[component, node]
        files = {path for each in effects.values() for path in each}
        yield Restart(
            node=node,
            component=component,
            effect=_weightiest(effects),
            files=tuple(sorted(files)),
            removes=former.get((component, node), ()),
        )


def admission(inventory: Inventory, member: str) -> Restart:
    """What an etcd cluster must be asked before one that joins it starts for the first time."""
    return _asked(inventory, Effect.ADMITS, member)


def _with_admissions(
    steps: Iterable[Restart], newcomers: Collection[str], inventory: Inventory
) -> Iterator[Restart]:
    for step in steps:
        if step.component is ComponentName.ETCD and step.node in newcomers:
            yield admission(inventory, step.node)
        yield step


def _asked(inventory: Inventory, effect: Effect, member: str) -> Restart:
    """A step at the member that has been there longest."""
    asked = (*inventory.etcd.founders, *inventory.etcd.joined)[0]
    return Restart(node=asked, component=ComponentName.ETCD, effect=effect, files=(), member=member)


def _former_members(changes: Iterable[Action], inventory: Inventory) -> list[str]:
    """The nodes whose etcd peer certificate goes, where somebody is left to be asked to let them go."""
    gone = (path for action in changes if isinstance(action, Remove) for path in action.paths)
    names = {path.split("/")[1] for path in gone if path.endswith("/etcd/peer.crt")}
    staying = {member.name for member in inventory.cluster.etcd_members}
    return sorted(names - staying) if staying else []


def _files(item: object) -> tuple[str, ...]:
    if isinstance(item, DesiredCertificate):
        paths = paths_of(item)
        return paths or (getattr(item.location, "kubeconfig", ""),)
    return paths_of(item) if isinstance(item, DesiredCopy | DesiredFile | DesiredKeyPair) else ()


def _readers(item: object, present: Mapping[str, set[ComponentName]]) -> Iterator[_Reader]:
    match item:
        case DesiredCertificate():
            yield from _CERTIFICATE_READERS.get(item.name, ())
        case DesiredCopy():
            for component, effect in _MATERIAL_READERS.get((item.material, item.ca), ()):
                if component in present[item.node]:
                    yield component, effect
        case DesiredFile() if item.kind in _FILE_READERS:
            yield _FILE_READERS[item.kind]
        case _:
            pass


def _components(inventory: Inventory) -> dict[str, set[ComponentName]]:
    """What of the control plane and the kubelet runs on each node."""
    cluster = inventory.cluster
    present = {node.name: {ComponentName.KUBELET} for node in cluster.spec.nodes}
    for node in cluster.control_plane:
        present[node.name] |= {
            ComponentName.API_SERVER,
            ComponentName.CONTROLLER_MANAGER,
            ComponentName.SCHEDULER,
        }
    for node in cluster.etcd_members:
        present[node.name].add(ComponentName.ETCD)
    return present


def _weightiest(effects: dict[Effect, list[str]]) -> Effect:
    return next(effect for effect in Effect if effect in effects)


def _on_node(path: str, node: str) -> str:
    return path.removeprefix(f"nodes/{node}")
