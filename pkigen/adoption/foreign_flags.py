"""The flags of a foreign cluster that neither pkigen nor kubeadm gives by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pkigen import layout
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.file_references import TRUST_FLAGS
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import Flag, flag_name
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.adoption.found import Program
    from pkigen.adoption.topology import KnownNode
    from pkigen.desired.command_lines import EffectiveFlags
    from pkigen.desired.rendering.pods import HostPath
    from pkigen.spec.model import ClusterSpec

SECTIONS: Final = {
    ComponentName.API_SERVER: "apiServer",
    ComponentName.CONTROLLER_MANAGER: "controllerManager",
    ComponentName.SCHEDULER: "scheduler",
    ComponentName.ETCD: "etcd",
    ComponentName.KUBELET: "kubelet",
}
"""The section of a spec that has a component's flags."""
_NOT_OF_A_SPEC: Final = {
    # pkigen gives them, with other files than kubeadm, which has ca.crt for both purposes.
    ComponentName.CONTROLLER_MANAGER: frozenset({"cluster-signing-cert-file", "cluster-signing-key-file"}),
    # How the members came together; it counts once, when a member starts for the first time.
    ComponentName.ETCD: frozenset({"initial-cluster", "initial-cluster-state", "initial-cluster-token"}),
    # The unit of the kubelet's package gives it, and the spec says the other two itself.
    ComponentName.KUBELET: frozenset({"bootstrap-kubeconfig", "hostname-override", "node-ip"}),
}


class DifferingFlags:
    """What every component is given beside its defaults."""

    def __init__(self, cluster: ClusterSpec, nodes: Sequence[KnownNode]) -> None:
        """Compare.

        Args:
            cluster: What is known of the cluster, without any flag.
            nodes: Its nodes, all of which are in the spec.
        """
        self._cluster = cluster
        self._nodes = nodes
        self._inventory = derive(cluster)
        self._lines = CommandLines(self._inventory)
        self._places = {node.name: node for node in cluster.spec.nodes}

    def sections(self) -> Iterator[tuple[str, dict[str, list[dict[str, Any]]]]]:
        """Each section of the spec that gets flags or mounts, by those that all nodes have in common."""
        for component, section in SECTIONS.items():
            common = self._common(component)
            entries = {"extraArgs": [{"name": flag.name, "value": flag.value} for flag in common]}
            # kubeadm's types, which the spec follows, have extraVolumes for the control plane's three
            # components only (kubeadm/v1beta4 `ControlPlaneComponent`).
            if component not in {ComponentName.ETCD, ComponentName.KUBELET}:
                entries["extraVolumes"] = list(map(_volume, self._mounts(component)))
            yield section, {key: value for key, value in entries.items() if value}

    def of_kubelet(self, node: KnownNode) -> list[dict[str, str]]:
        """What one node's kubelet is given that others are not."""
        common = self._common(ComponentName.KUBELET)
        program = node.program(ComponentName.KUBELET)
        own = self._own(node, program) if program is not None else ()
        return [{"name": flag.name, "value": flag.value} for flag in own if flag not in common]

    def notes(self) -> Iterator[str]:
        """The flags that differ from node to node, which a spec cannot say of the control plane."""
        for component in (each for each in SECTIONS if each is not ComponentName.KUBELET):
            common = self._common(component)
            yield from self._elsewhere(component, common)
            for node, program in self._running(component):
                for flag in self._own(node, program):
                    if flag not in common:
                        yield f"{component} of {node.name} alone has {flag}: it is not in the spec"

    def _elsewhere(self, component: ComponentName, common: Sequence[Flag]) -> Iterator[str]:
        """The flags that lead to files under names which are not pkigen's."""
        trusted = TRUST_FLAGS.get(component, {})
        named = [flag for flag in common if flag.name in trusted and self._is_elsewhere(flag)]
        if named:
            flags = ", ".join(f"--{flag.name}={flag.value}" for flag in named)
            yield (
                f"{component} reads files under names of their own ({flags}): copies of them are taken "
                "over, and pkigen's are read once these flags are gone from "
                f"{SECTIONS[component]}.extraArgs and `manage` has manifests"
            )

    def _is_elsewhere(self, flag: Flag) -> bool:
        """Whether a flag names a file that no node has from pkigen."""
        places = (layout.node_path(name, flag.value) for name in self._places)
        return flag.value.startswith("/") and not self._inventory.paths.intersection(places)

    def _running(self, component: ComponentName) -> Iterator[tuple[KnownNode, Program]]:
        for node in self._nodes:
            program = node.program(component)
            if program is not None:
                yield node, program

    def _default(self, node: KnownNode, component: ComponentName) -> EffectiveFlags:
        return self._lines.of(component, self._places[node.name])

    def _own(self, node: KnownNode, program: Program) -> tuple[Flag, ...]:
        """The flags of a program whose values are not all the default."""
        component = program.component
        default, given = self._default(node, component), program.flags
        skipped = _NOT_OF_A_SPEC.get(component, frozenset())
        names = dict.fromkeys(_name(component, flag) for flag in given.flags)
        return tuple(
            Flag(name, value)
            for name in names
            # As lists: a flag may be given several times, and the order of its values counts.
            if name not in skipped and given.values(name) != default.values(name)
            for value in given.values(name)
        )

    def _common(self, component: ComponentName) -> tuple[Flag, ...]:
        each = [self._own(node, program) for node, program in self._running(component)]
        first, *others = each or [()]
        return tuple(flag for flag in first if all(flag in other for other in others))

    def _mounts(self, component: ComponentName) -> Iterator[HostPath]:
        """The host's paths that a component's Pod sees beside the default ones, on all nodes."""
        if self._cluster.spec.runtime is Runtime.SYSTEMD:
            return
        each = [self._own_mounts(node, program) for node, program in self._running(component)]
        first, *others = each or [()]
        yield from (mount for mount in first if all(mount in other for other in others))

    def _own_mounts(self, node: KnownNode, program: Program) -> tuple[HostPath, ...]:
        default = {mount.path for mount in self._default(node, program.component).mounts or ()}
        return tuple(mount for mount in program.flags.mounts or () if mount.path not in default)


def _name(component: ComponentName, flag: Flag) -> str:
    # Only Kubernetes' programs take `_` for `-`.
    return flag.name if component is ComponentName.ETCD else flag_name(flag.name)


def _volume(mount: HostPath) -> dict[str, Any]:
    return {
        "name": mount.name,
        "hostPath": mount.path,
        "mountPath": mount.mount_path,
        **({"readOnly": True} if mount.read_only else {}),
        **({"pathType": mount.type} if mount.type else {}),
    }
