"""What each file of a node is rendered from: which template, in which language, with which context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.desired.certificate_items import named_files, server_of, subject_on
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.items import KUBECONFIG_KINDS, FileKind, context_name
from pkigen.desired.rendering import api_server, flags, nodes, pods
from pkigen.desired.rendering.authorization import context_of, webhook_context
from pkigen.desired.rendering.contexts import AuthorizationConfiguration, FlagFile, NamingKubeconfig
from pkigen.desired.rendering.templates import Language, Templates
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering.flags import Flag
    from pkigen.desired.rendering.pods import StaticPod
    from pkigen.spec.model import ClusterSpec, Node


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file of one node: its template and how its context is made."""

    template: str
    language: Language
    context: Callable[[Inventory, Node, Templates], Any]


def _plain(context: Callable[[ClusterSpec, Node], Any]) -> Callable[[Inventory, Node, Templates], Any]:
    """A context that the spec alone decides."""
    return lambda inventory, node, _: context(inventory.cluster, node)


def _manifest(pod: Callable[[ClusterSpec, Node], StaticPod], component: str) -> NodeFile:
    """A static Pod's manifest."""
    return NodeFile(f"manifests/{component}.yaml", Language.YAML, _plain(pod))


def _unit(component: str) -> NodeFile:
    """A component's unit file."""

    def context(cluster: ClusterSpec, node: Node) -> Any:
        return nodes.unit(component, cluster, node)

    return NodeFile(f"systemd/{component}.service", Language.UNIT, _plain(context))


def _flags(of_component: Callable[[ClusterSpec, Node], tuple[Flag, ...]], component: str) -> NodeFile:
    """A component's flags in an environment file, for its unit."""

    def context(cluster: ClusterSpec, node: Node) -> FlagFile:
        return _flag_file(component, of_component(cluster, node))

    return NodeFile("flags/component.env", Language.ENVIRONMENT, _plain(context))


def _flag_file(component: str, arguments: tuple[Flag, ...]) -> FlagFile:
    """The context of an environment file with flags."""
    return FlagFile(variable=nodes.flags_variable(component), arguments=tuple(map(str, arguments)))


def _api_server_pod(inventory: Inventory, node: Node, templates: Templates) -> StaticPod:
    given = api_server.kube_apiserver(inventory.cluster, node, inventory.rotations, templates)
    return pods.kube_apiserver(inventory.cluster, node, given)


def _api_server_flags(inventory: Inventory, node: Node, templates: Templates) -> FlagFile:
    given = api_server.kube_apiserver(inventory.cluster, node, inventory.rotations, templates)
    return _flag_file("kube-apiserver", given)


def _etcd_pod(inventory: Inventory, node: Node, _: Templates) -> StaticPod:
    return pods.etcd(inventory.cluster, node, inventory.etcd)


def _etcd_flags(inventory: Inventory, node: Node, _: Templates) -> FlagFile:
    return _flag_file("etcd", flags.etcd(inventory.cluster, node, inventory.etcd))


def _authorization(inventory: Inventory, _node: Node, _: Templates) -> AuthorizationConfiguration:
    return context_of(inventory.cluster, inventory.revocations.active)


def _kubelet_flags(cluster: ClusterSpec, node: Node) -> FlagFile:
    return FlagFile(variable=nodes.KUBEADM_ARGUMENTS, arguments=tuple(map(str, flags.kubelet(cluster, node))))


def _naming_kubeconfig(name: str) -> NodeFile:
    """A kubeconfig that names its credentials by path."""
    (kind,) = (each for each in CERTIFICATES if each.name == name)

    def context(cluster: ClusterSpec, node: Node) -> NamingKubeconfig:
        user, files = subject_on(kind, cluster, node.name).common_name, named_files(kind, cluster)
        return NamingKubeconfig(
            server=server_of(kind, cluster, node),
            cluster=cluster.name,
            user=user,
            context=context_name(user, cluster.name),
            trust_bundle=files.trust,
            certificate=files.pair.certificate,
            key=files.pair.key,
        )

    return NodeFile("naming-kubeconfig.yaml", Language.YAML, _plain(context))


_STATIC_POD_KUBELET_FLAGS = NodeFile("flags/kubeadm-flags.env", Language.ENVIRONMENT, _plain(_kubelet_flags))

_FILES = {
    FileKind.ETCD: NodeFile("manifests/etcd.yaml", Language.YAML, _etcd_pod),
    FileKind.KUBE_APISERVER: NodeFile("manifests/kube-apiserver.yaml", Language.YAML, _api_server_pod),
    FileKind.KUBE_CONTROLLER_MANAGER: _manifest(pods.kube_controller_manager, "kube-controller-manager"),
    FileKind.KUBE_SCHEDULER: _manifest(pods.kube_scheduler, "kube-scheduler"),
    FileKind.ETCD_UNIT: _unit("etcd"),
    FileKind.KUBE_APISERVER_UNIT: _unit("kube-apiserver"),
    FileKind.KUBE_CONTROLLER_MANAGER_UNIT: _unit("kube-controller-manager"),
    FileKind.KUBE_SCHEDULER_UNIT: _unit("kube-scheduler"),
    FileKind.KUBELET_UNIT: _unit("kubelet"),
    FileKind.KUBE_PROXY_UNIT: _unit("kube-proxy"),
    FileKind.ETCD_FLAGS: NodeFile("flags/component.env", Language.ENVIRONMENT, _etcd_flags),
    FileKind.KUBE_APISERVER_FLAGS: NodeFile("flags/component.env", Language.ENVIRONMENT, _api_server_flags),
    FileKind.KUBE_CONTROLLER_MANAGER_FLAGS: _flags(flags.kube_controller_manager, "kube-controller-manager"),
    FileKind.KUBE_SCHEDULER_FLAGS: _flags(flags.kube_scheduler, "kube-scheduler"),
    FileKind.KUBELET_FLAGS: _flags(flags.kubelet_of_systemd, "kubelet"),
    FileKind.KUBE_PROXY_FLAGS: _flags(flags.kube_proxy, "kube-proxy"),
    FileKind.AUTHORIZATION_CONFIGURATION: NodeFile(
        "authorization-config.yaml", Language.YAML, _authorization
    ),
    FileKind.AUTHORIZATION_WEBHOOK: NodeFile(
        "authorization-webhook.yaml", Language.YAML, _plain(lambda _cluster, _node: webhook_context())
    ),
    FileKind.KUBELET_CONFIGURATION: NodeFile(
        "kubelet/config.yaml", Language.YAML, _plain(nodes.kubelet_configuration)
    ),
    FileKind.KUBE_PROXY_CONFIGURATION: NodeFile(
        "kube-proxy/config.yaml", Language.YAML, _plain(nodes.kube_proxy_configuration)
    ),
    **{kind: _naming_kubeconfig(kind) for kind in KUBECONFIG_KINDS},
}


def template_of(kind: FileKind, cluster: ClusterSpec) -> NodeFile:
    """What a node's file of a kind is rendered from."""
    if kind is FileKind.KUBELET_FLAGS and not nodes.runs_units(cluster):
        # There the unit is the package's, which reads the flags from a variable of kubeadm's.
        return _STATIC_POD_KUBELET_FLAGS
    return _FILES[kind]
