"""What every component is started with, after `extraArgs` and with its configuration file: what really runs.

The flags are those of `rendering.flags` and `rendering.api_server`. The API server's manifest and a kubelet's
configuration may come of a template of the operator's own, so they are read: in the tree where there is one,
else as that template renders them.
"""

from __future__ import annotations

import posixpath
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.items import FileKind
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering import flags as rendered
from pkigen.desired.rendering import nodes, pods, read_back
from pkigen.desired.rendering.api_server import kube_apiserver
from pkigen.desired.rendering.renderer import Renderer
from pkigen.desired.rendering.templates import Templates
from pkigen.records import dataclass
from pkigen.spec.model import ManagedFiles, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering.flags import Flag
    from pkigen.desired.rendering.pods import HostPath, StaticPod
    from pkigen.spec.model import Node

    ReadText = Callable[[str], bytes | None]
    """What stands at a path of the PKI directory; None where nothing can be read."""


_PODS = {
    ComponentName.ETCD: FileKind.ETCD,
    ComponentName.API_SERVER: FileKind.KUBE_APISERVER,
    ComponentName.CONTROLLER_MANAGER: FileKind.KUBE_CONTROLLER_MANAGER,
    ComponentName.SCHEDULER: FileKind.KUBE_SCHEDULER,
}
"""The components that static Pods run, by their manifests."""
_API_SERVER_FILES = {
    FileKind.KUBE_APISERVER: f"{layout.MANIFESTS_DIRECTORY}/kube-apiserver.yaml",
    FileKind.KUBE_APISERVER_FLAGS: f"{layout.FLAGS_DIRECTORY}/kube-apiserver.env",
}
_ETCD_VARIABLE = "ETCD_"  # pkg/flags, FlagToEnv


def _as_flags(arguments: Iterable[str]) -> tuple[Flag, ...]:
    """Arguments of the form `--NAME=VALUE`."""
    pairs = (argument.removeprefix("--").partition("=") for argument in arguments)
    return tuple(rendered.Flag(name, value) for name, _, value in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFlags:
    """What one component is started with, wherever it runs.

    `mounts` are the host's paths that a static Pod sees; None for what sees the whole host. `settings` are
    those of its configuration file, by the flag that each stands for: a flag counts more.
    """

    component: ComponentName
    flags: tuple[Flag, ...]
    mounts: tuple[HostPath, ...] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    _given: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the flags by name: thousands of connections ask the same API server for its own."""
        given: dict[str, tuple[str, ...]] = {}
        for flag in self.flags:
            name = self._spelt(flag)
            given[name] = (*given.get(name, ()), flag.value)
        object.__setattr__(self, "_given", given)

    def values(self, name: str) -> tuple[str, ...]:
        """Every value that a flag is given, in order."""
        return self._given.get(name, ())

    def value(self, name: str) -> str:
        """The value that counts: the last one, as pflag has it; empty where none is given."""
        # A configuration file stands behind every flag (`settings`).
        given = self.values(name)
        return given[-1] if given else self.settings.get(name, "")

    def host_path(self, value: str) -> str:
        """Where a file that the component knows as `value` stands on its host."""
        # Two leading slashes are one path on Linux, but `normpath` keeps them (POSIX leaves them open).
        path = "/" + posixpath.normpath(f"/{value}").lstrip("/")
        # The innermost mount is the one that a container sees: the longest path first.
        for mount in sorted(self.mounts or (), key=lambda mount: -len(mount.mount_path)):
            inside = posixpath.relpath(path, mount.mount_path)
            if inside != ".." and not inside.startswith("../"):
                return posixpath.normpath(posixpath.join(mount.path, inside))
        return path

    def _spelt(self, flag: Flag) -> str:
        """Kubernetes' programs take `_` for `-` (`WordSepNormalizeFunc`); etcd does not."""
        return flag.name if self.component is ComponentName.ETCD else rendered.flag_name(flag.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveFlags(ProgramFlags):
    """What one component on one node of the cluster is started with."""

    node: Node

    def file(self, name: str) -> str | None:
        """Where the file that a flag names stands in the PKI directory; None where it names none."""
        value = self.value(name)
        return self.place(value) if value else None

    def place(self, value: str) -> str:
        """Where a file that the component knows as `value` stands in the PKI directory."""
        return layout.node_path(self.node.name, self.host_path(value))


class CommandLines:
    """The command lines of one cluster; each is made once."""

    def __init__(self, inventory: Inventory, read: ReadText | None = None) -> None:
        self._inventory = inventory
        self._cluster = inventory.cluster
        self._read = read
        self._holds_pods = self._cluster.spec.runtime is Runtime.STATIC_PODS
        self._manages_pods = not self._holds_pods or self._cluster.manages(ManagedFiles.MANIFESTS)
        templates = inventory.templates or Templates(None)
        self._templates = templates
        self._own = Renderer(inventory) if templates.are_overridden else None
        self._made: dict[tuple[ComponentName, str], EffectiveFlags] = {}

    def of(self, component: ComponentName, node: Node) -> EffectiveFlags:
        """What a component is started with on a node that runs it."""
        key = component, node.name
        if key not in self._made:
            made = self._make(component, node)
            self._made[key] = made if self._manages_pods else self._observed(made)
        return self._made[key]

    def started_with(self, component: ComponentName, node: Node, arguments: Iterable[str]) -> EffectiveFlags:
        """The same for other arguments: those of the node's own manifest, say."""
        return EffectiveFlags(
            component=component,
            node=node,
            flags=_as_flags(arguments),
            mounts=self.of(component, node).mounts,
        )

    def _observed(self, line: EffectiveFlags) -> EffectiveFlags:
        """What somebody else's manifest starts a component with; as the spec has it without one."""
        path = layout.node_path(line.node.name, f"{layout.MANIFESTS_DIRECTORY}/{line.component}.yaml")
        text = self._read(path) if self._read is not None and line.component in _PODS else None
        given = read_back.arguments(text.decode(errors="replace"), _PODS[line.component]) if text else None
        if given is None:
            return line
        return replace(line, flags=_as_flags(given))

    def _make(self, component: ComponentName, node: Node) -> EffectiveFlags:
        """The flags of one component, and what of the host its Pod sees."""
        cluster = self._cluster
        match component:
            case ComponentName.API_SERVER:
                flags = self._of_api_server(node)
                pod = pods.kube_apiserver(cluster, node, flags)
            case ComponentName.CONTROLLER_MANAGER:
                flags = rendered.kube_controller_manager(cluster, node)
                pod = pods.kube_controller_manager(cluster, node)
            case ComponentName.SCHEDULER:
                return self._of_scheduler(node)
            case ComponentName.ETCD:
                return self._of_etcd(node)
            case _:
                return self._of_kubelet(node)
        return EffectiveFlags(component=component, node=node, flags=flags, mounts=self._mounts(pod))

    def _of_api_server(self, node: Node) -> tuple[Flag, ...]:
        """What the tree's manifest or flag file says, which may come of an operator's own template."""
        kind = FileKind.KUBE_APISERVER if self._holds_pods else FileKind.KUBE_APISERVER_FLAGS
        text = self._read(layout.node_path(node.name, _API_SERVER_FILES[kind])) if self._read else None
        if text is None and self._own is not None:
            text = self._own.node_file(kind, node)
        found = read_back.arguments(text.decode(errors="replace"), kind) if text is not None else None
        if found is None:
            return kube_apiserver(self._cluster, node, self._inventory.rotations, self._templates)
        return _as_flags(found)

    def _mounts(self, pod: StaticPod) -> tuple[HostPath, ...] | None:
        return pod.mounts if self._holds_pods else None

    def _of_scheduler(self, node: Node) -> EffectiveFlags:
        """Its configuration file names the kubeconfig, and the flag counts no more (app/options, ApplyTo)."""
        line = EffectiveFlags(
            component=ComponentName.SCHEDULER,
            node=node,
            flags=rendered.kube_scheduler(self._cluster, node),
            mounts=self._mounts(pods.kube_scheduler(self._cluster, node)),
        )
        configuration = line.file("config")
        if configuration is None:
            return line
        text = self._read(configuration) if self._read is not None else None
        return replace(
            line,
            flags=tuple(flag for flag in line.flags if rendered.flag_name(flag.name) != "kubeconfig"),
            settings=read_back.scheduler_settings(text) if text is not None else {},
        )

    def _of_etcd(self, node: Node) -> EffectiveFlags:
        """Its variables count where there is no flag; with a configuration file neither do (etcdmain)."""
        # The environment file of a unit holds its flags and nothing else.
        extra = self._cluster.spec.etcd.extra_envs if self._holds_pods else ()
        line = EffectiveFlags(
            component=ComponentName.ETCD,
            node=node,
            flags=rendered.etcd(self._cluster, node, self._inventory.etcd),
            mounts=self._mounts(pods.etcd(self._cluster, node, self._inventory.etcd)),
            settings={
                each.name.removeprefix(_ETCD_VARIABLE).lower().replace("_", "-"): each.value
                for each in extra
                if each.name.startswith(_ETCD_VARIABLE)
            },
        )
        configuration = line.value("config-file")
        return replace(line, flags=(), settings={"config-file": configuration}) if configuration else line

    def _of_kubelet(self, node: Node) -> EffectiveFlags:
        """A kubelet's flags, and the settings of the configuration file that they name."""
        # Where the unit is the package's, it names the same two files first (10-kubeadm.conf).
        flags = rendered.kubelet_of_systemd(self._cluster, node)
        plain = EffectiveFlags(component=ComponentName.KUBELET, node=node, flags=flags)
        configuration = plain.file("config")
        return EffectiveFlags(
            component=ComponentName.KUBELET,
            node=node,
            flags=flags,
            settings=self._settings(configuration, node) if configuration else {},
        )

    def _settings(self, path: str, node: Node) -> Mapping[str, str]:
        """What a kubelet's configuration says, in the tree or as it would be rendered."""
        text = self._read(path) if self._read is not None else None
        if text is None and self._own is not None and path in self._inventory.paths:
            text = self._own.node_file(FileKind.KUBELET_CONFIGURATION, node)
        found = read_back.kubelet_settings(text) if text is not None else None
        # What the tree has counts; without one, what pkigen would render.
        if found is not None:
            return found
        return self._rendered_settings() if path in self._inventory.paths else {}

    def _rendered_settings(self) -> Mapping[str, str]:
        """The settings of pkigen's own configuration, the same on every node."""
        configuration = nodes.kubelet_configuration(self._cluster, self._cluster.spec.nodes[0])
        return {
            "client-ca-file": configuration.client_ca_file,
            "tls-cert-file": configuration.tls_cert_file,
            "tls-private-key-file": configuration.tls_private_key_file,
        }
