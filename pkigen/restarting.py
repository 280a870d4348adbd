"""The restart map: which component on which node must restart after a change, and which reloads by itself.

The table follows what Kubernetes and etcd do with a file that changes under them: section by section from
`apiserver/pkg/server/options`, `kube-controller-manager/app`, `client-go/transport`, `pkg/kubelet` and etcd's
`client/pkg/transport/listener.go`. Nothing here restarts anything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkigen.actions import Remove
from pkigen.checks import Reason
from pkigen.inventory import (
    CA,
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    FileKind,
    Inventory,
    MaterialKind,
    paths_of,
)
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.actions import Action


class Component(enum.StrEnum):
    """What runs on a node, in the order in which it is safe to restart."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    KUBE_PROXY = "kube-proxy"


class Effect(enum.StrEnum):
    """What a changed file asks of the component that reads it, the weightiest first."""

    RESTART = "restart"
    RECREATED = "recreated by the kubelet"
    RELOADS = "reloads by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One component on one node, and what its changed files ask of it.

    `files` are absolute paths on the node.
    """

    node: str
    component: Component
    effect: Effect
    files: tuple[str, ...]


_Reader = tuple[Component, Effect]

_CERTIFICATE_READERS: dict[str, tuple[_Reader, ...]] = {
    "etcd-server": ((Component.ETCD, Effect.RELOADS),),  # listener.go: per handshake
    "etcd-peer": ((Component.ETCD, Effect.RELOADS),),
    "apiserver": ((Component.API_SERVER, Effect.RELOADS),),  # options/serving.go
    "apiserver-kubelet-client": ((Component.API_SERVER, Effect.RELOADS),),  # within 5 minutes
    "apiserver-etcd-client": ((Component.API_SERVER, Effect.RELOADS),),  # with every new connection
    "front-proxy-client": ((Component.API_SERVER, Effect.RELOADS),),
    "controller-manager.conf": (
        (Component.CONTROLLER_MANAGER, Effect.RESTART),
    ),  # embedded data is read once
    "scheduler.conf": ((Component.SCHEDULER, Effect.RESTART),),
    "kubelet.conf": ((Component.KUBELET, Effect.RESTART),),
    "kube-proxy.conf": ((Component.KUBE_PROXY, Effect.RESTART),),
    "kubelet-serving": ((Component.KUBELET, Effect.RELOADS),),
}

_MATERIAL_READERS: dict[tuple[MaterialKind, CA | None], tuple[_Reader, ...]] = {
    (MaterialKind.TRUST_BUNDLE, CA.KUBERNETES): (
        # --client-ca-file reloads, --kubelet-certificate-authority only from 1.36 on, --root-ca-file never.
        (Component.API_SERVER, Effect.RESTART),
        (Component.CONTROLLER_MANAGER, Effect.RESTART),
        (Component.KUBELET, Effect.RELOADS),
    ),
    (MaterialKind.TRUST_BUNDLE, CA.ETCD): (
        (Component.ETCD, Effect.RESTART),
        (Component.API_SERVER, Effect.RESTART),
    ),
    (MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY): (
        (Component.API_SERVER, Effect.RELOADS),
        (Component.CONTROLLER_MANAGER, Effect.RELOADS),
    ),
    (MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES): ((Component.CONTROLLER_MANAGER, Effect.RELOADS),),
    (MaterialKind.CA_KEY, CA.KUBERNETES): ((Component.CONTROLLER_MANAGER, Effect.RELOADS),),
    (MaterialKind.SA_PRIVATE_KEY, None): (
        (Component.API_SERVER, Effect.RESTART),
        (Component.CONTROLLER_MANAGER, Effect.RESTART),
    ),
    (MaterialKind.SA_PUBLIC_KEY, None): ((Component.API_SERVER, Effect.RESTART),),
}

_FILE_READERS: dict[FileKind, _Reader] = {
    FileKind.ETCD: (Component.ETCD, Effect.RECREATED),
    FileKind.KUBE_APISERVER: (Component.API_SERVER, Effect.RECREATED),
    FileKind.KUBE_CONTROLLER_MANAGER: (Component.CONTROLLER_MANAGER, Effect.RECREATED),
    FileKind.KUBE_SCHEDULER: (Component.SCHEDULER, Effect.RECREATED),
    FileKind.ETCD_UNIT: (Component.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_UNIT: (Component.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_UNIT: (Component.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_UNIT: (Component.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_UNIT: (Component.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_UNIT: (Component.KUBE_PROXY, Effect.RESTART),
    FileKind.ETCD_FLAGS: (Component.ETCD, Effect.RESTART),
    FileKind.KUBE_APISERVER_FLAGS: (Component.API_SERVER, Effect.RESTART),
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: (Component.CONTROLLER_MANAGER, Effect.RESTART),
    FileKind.KUBE_SCHEDULER_FLAGS: (Component.SCHEDULER, Effect.RESTART),
    FileKind.KUBELET_FLAGS: (Component.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_FLAGS: (Component.KUBE_PROXY, Effect.RESTART),
    FileKind.KUBELET_CONFIGURATION: (Component.KUBELET, Effect.RESTART),
    FileKind.KUBE_PROXY_CONFIGURATION: (Component.KUBE_PROXY, Effect.RESTART),
    FileKind.ENCRYPTION_CONFIGURATION: (Component.API_SERVER, Effect.RESTART),
}


def restart_map(inventory: Inventory, changes: Iterable[Action]) -> tuple[Step, ...]:
    """What a plan's changes ask of the running components, in a safe order: etcd, API servers, the rest.

    Within a component nodes come by name, to be done one at a time.
    """
    changed = {
        path
        for action in changes
        if not isinstance(action, Remove) and action.reason is not Reason.ORDER_CHANGED
        for path in action.paths
    }
    gathered: dict[tuple[Component, str], dict[Effect, list[str]]] = {}
    for item in inventory.items:
        node = getattr(item, "node", None)
        if node is None:
            continue
        files = [path for path in _files(item) if path in changed]
        for component, effect in _readers(item, inventory) if files else ():
            effects = gathered.setdefault((component, node), {})
            effects.setdefault(effect, []).extend(_on_node(path, node) for path in files)
    order = list(Component)
    return tuple(
        Step(
            node=node,
            component=component,
            effect=_weightiest(effects),
            files=tuple(sorted({path for files in effects.values() for path in files})),
        )
        for (component, node), effects in sorted(
            gathered.items(), key=lambda each: (order.index(each[0][0]), each[0][1])
        )
    )


def _files(item: object) -> tuple[str, ...]:
    if isinstance(item, DesiredCertificate):
        paths = paths_of(item)
        return paths or (getattr(item.location, "kubeconfig", ""),)
    return paths_of(item) if isinstance(item, DesiredCopy | DesiredFile | DesiredKeyPair) else ()


def _readers(item: object, inventory: Inventory) -> Iterator[_Reader]:
    match item:
        case DesiredCertificate():
            yield from _CERTIFICATE_READERS.get(item.name, ())
        case DesiredCopy():
            present = _components(inventory, item.node)
            for component, effect in _MATERIAL_READERS.get((item.material, item.ca), ()):
                if component in present:
                    yield component, effect
        case DesiredFile() if item.kind in _FILE_READERS:
            yield _FILE_READERS[item.kind]
        case _:
            pass


def _components(inventory: Inventory, node: str) -> set[Component]:
    cluster = inventory.cluster
    present = {Component.KUBELET}
    if any(each.name == node for each in cluster.control_plane):
        present |= {Component.API_SERVER, Component.CONTROLLER_MANAGER, Component.SCHEDULER}
    if any(each.name == node for each in cluster.etcd_members):
        present.add(Component.ETCD)
    return present


def _weightiest(effects: dict[Effect, list[str]]) -> Effect:
    return next(effect for effect in Effect if effect in effects)


def _on_node(path: str, node: str) -> str:
    return path.removeprefix(f"nodes/{node}")


def restart_commands(step: Step, runtime: Runtime) -> tuple[str, ...]:
    """The shell commands that carry out one step on its node; none where nothing has to be done."""
    if step.effect is not Effect.RESTART:
        return ()
    if runtime is Runtime.SYSTEMD or step.component in {Component.KUBELET, Component.KUBE_PROXY}:
        return ("systemctl daemon-reload", f"systemctl restart {step.component}")
    manifest = f"/etc/kubernetes/manifests/{step.component}.yaml"
    # The kubelet stops the Pod when its manifest goes and starts a new one when it comes back.
    return (
        f"mv {manifest} /etc/kubernetes/{step.component}.yaml.away",
        f"while crictl ps --quiet --name '^{step.component}$' | grep -q .; do sleep 1; done",
        f"mv /etc/kubernetes/{step.component}.yaml.away {manifest}",
    )


def health_check(step: Step) -> str:
    """How an operator sees that the component is back before the next node is touched."""
    if step.component is Component.API_SERVER:
        probe = "kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz"
    else:
        probe = f"curl --fail --silent --insecure {_HEALTH[step.component]}"
    return f"until {probe} >/dev/null; do sleep 1; done"


_HEALTH = {
    Component.ETCD: "http://127.0.0.1:2381/health",
    Component.CONTROLLER_MANAGER: "https://127.0.0.1:10257/healthz",
    Component.SCHEDULER: "https://127.0.0.1:10259/healthz",
    Component.KUBELET: "http://127.0.0.1:10248/healthz",
    Component.KUBE_PROXY: "http://127.0.0.1:10256/healthz",
}
