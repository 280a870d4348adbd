"""The static Pods of the control plane, as kubeadm writes them.

Sources: `cmd/kubeadm/app/phases/controlplane/{manifests,volumes}.go`, `phases/etcd/local.go`,
`util/staticpod/utils.go`, `images/images.go`.

Of the host's certificate folders only /etc/ssl/certs is mounted. kubeadm also mounts those of
`own_mounts.MORE_CA_CERTIFICATES` that the host has; pkigen does not see the host, and would have to create
them there.
A spec's `extraVolumes` adds what a host needs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pkigen.desired.rendering import flags
from pkigen.notation import host_text
from pkigen.records import dataclass
from pkigen.spec import own_mounts, versions
from pkigen.spec.versions import ProbePaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pkigen.desired.inventory import EtcdMembership
    from pkigen.spec.components import EnvironmentVariable, ExtraArg, HostPathMount
    from pkigen.spec.model import ClusterSpec, Node

# The secure ports of both (kubeadm, constants.KubeControllerManagerPort and KubeSchedulerPort).
_CONTROLLER_MANAGER_PORT, _SCHEDULER_PORT = 10257, 10259
# kubeadm counts the tries of its startup probe by it (StartupProbe).
_STARTUP_PERIOD = 10  # seconds
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not bound to
# hostPath types: made if absent, and refused by the kubelet if it is something else.
_DIRECTORY, _FILE = "DirectoryOrCreate", "FileOrCreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An HTTP probe of the kubelet."""

    path: str
    delay: int
    period: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """The three probes of a component, and where they go; no host means the Pod's address."""

    host: str
    port: int
    port_name: str | None
    """The container port's name, where this version of kubeadm gives it one."""
    scheme: str
    liveness: Probe
    readiness: Probe | None
    startup: Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPath:
    """A host path in the Pod."""

    name: str
    path: str
    mount_path: str
    type: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation of the Pod."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of the container's environment; an empty value is left out, as Kubernetes writes it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPod:
    """The context of the templates in `manifests/`."""

    component: str
    image: str
    arguments: tuple[str, ...]
    environment: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]
    probes: Probes
    cpu: str
    memory: str | None
    mounts: tuple[HostPath, ...]


def kube_apiserver(cluster: ClusterSpec, node: Node, given: tuple[flags.Flag, ...]) -> StaticPod:
    """The API server's Pod, with these flags."""
    spec = cluster.spec
    port = cluster.api_port(node)
    return StaticPod(
        component="kube-apiserver",
        image=_image(cluster, "kube-apiserver"),
        arguments=tuple(map(str, given)),
        environment=_environment(spec.api_server.extra_envs),
        annotations=(
            Annotation(
                name="kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
                # kubeadm finds the API server of a node by it, on the Pods of the cluster
                # (util/config/cluster.go).
                value=f"{host_text(node.advertise_address)}:{port}",
            ),
        ),
        probes=_probes(
            cluster,
            Target(_probed(str(node.advertise_address)), port, "HTTPS"),
            ProbePaths("/livez", "/readyz", "/livez"),
        ),
        # The requests are kubeadm's, here and below; it sets no limits.
        cpu="250m",
        memory=None,
        mounts=_with_extra(own_mounts.of_api_server(spec), spec.api_server.extra_volumes),
    )


def kube_controller_manager(cluster: ClusterSpec, node: Node) -> StaticPod:
    """The controller manager's Pod."""
    component = cluster.spec.controller_manager
    return StaticPod(
        component="kube-controller-manager",
        image=_image(cluster, "kube-controller-manager"),
        arguments=tuple(map(str, flags.kube_controller_manager(cluster, node))),
        environment=_environment(component.extra_envs),
        annotations=(),
        probes=_probes(
            cluster,
            # One path for both, and no readiness probe (kubeadm, phases/controlplane/manifests.go).
            controller_manager_target(cluster),
            ProbePaths("/healthz", None, "/healthz"),
        ),
        cpu="200m",
        memory=None,
        mounts=_with_extra(own_mounts.of_controller_manager(cluster.spec), component.extra_volumes),
    )


def kube_scheduler(cluster: ClusterSpec, node: Node) -> StaticPod:
    """The scheduler's Pod."""
    component = cluster.spec.scheduler
    return StaticPod(
        component="kube-scheduler",
        image=_image(cluster, "kube-scheduler"),
        arguments=tuple(map(str, flags.kube_scheduler(cluster, node))),
        environment=_environment(component.extra_envs),
        annotations=(),
        probes=_probes(
            cluster,
            scheduler_target(cluster),
            versions.scheduler_probes(cluster.spec.kubernetes_version),
        ),
        cpu="100m",
        memory=None,
        mounts=_with_extra(own_mounts.of_scheduler(cluster.spec), component.extra_volumes),
    )


def etcd(cluster: ClusterSpec, node: Node, membership: EtcdMembership) -> StaticPod:
    """An etcd member's Pod."""
    spec, version = cluster.spec, cluster.spec.kubernetes_version
    tag = spec.etcd.image_tag or versions.etcd_tag(version)
    return StaticPod(
        component="etcd",
        image=f"{spec.etcd.image_repository or spec.image_repository}/etcd:{tag}",
        arguments=tuple(map(str, flags.etcd(cluster, node, membership))),
        environment=_environment(spec.etcd.extra_envs),
        annotations=(
            Annotation(name="kubeadm.kubernetes.io/etcd.advertise-client-urls", value=flags.client_url(node)),
        ),
        probes=_probes(
            cluster,
            etcd_target(spec.etcd.extra_args, flags.localhost(node)),
            versions.etcd_probes(version, spec.etcd.image_tag),
        ),
        cpu="100m",
        memory="100Mi",
        # etcd writes its data; the certificates' mount is writable because kubeadm's is.
        mounts=tuple(
            _host_path(name, path, read_only=False) for name, path in own_mounts.of_etcd(spec).items()
        ),
    )


def _image(cluster: ClusterSpec, component: str) -> str:
    """The image of a Kubernetes component at the spec's version."""
    return f"{cluster.spec.image_repository}/{component}:{cluster.spec.kubernetes_version.image_tag}"


def _environment(extra: Iterable[EnvironmentVariable]) -> tuple[Variable, ...]:
    """By name, the later of two counts (kubeadm's `MergeKubeadmEnvVars`, util/env.go)."""
    values = {variable.name: variable.value for variable in extra}
    return tuple(Variable(name=name, value=value) for name, value in sorted(values.items()))


class Target(NamedTuple):
    """Where a component answers whether it is well; an empty host is any address of the node."""

    host: str
    port: int
    scheme: str

    @property
    def url(self) -> str:
        """The address for clients on the node itself."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "127.0.0.1"
        return f"{self.scheme.lower()}://{host}:{self.port}"


def _probes(cluster: ClusterSpec, target: Target, paths: ProbePaths) -> Probes:
    """The figures of kubeadm (`LivenessProbe` and its kin in util/staticpod/utils.go)."""
    readiness = (
        None if paths.readiness is None else Probe(path=paths.readiness, delay=0, period=1, failures=3)
    )
    return Probes(
        host=target.host,
        port=target.port,
        port_name="probe-port" if versions.PROBE_PORT.holds(cluster.spec.kubernetes_version) else None,
        scheme=target.scheme,
        # Eight failures, ten seconds apart: a component that is slow for a minute is not restarted.
        liveness=Probe(path=paths.liveness, delay=10, period=10, failures=8),
        readiness=readiness,
        startup=Probe(
            path=paths.startup,
            delay=10,
            period=_STARTUP_PERIOD,
            # Rounded up, as kubeadm's `StartupProbe` does (util/staticpod/utils.go).
            failures=-(-cluster.spec.startup_timeout // timedelta(seconds=_STARTUP_PERIOD)),
        ),
    )


def _probed(address: str) -> str:
    """The host of a probe: none where every address is bound, so that the kubelet uses the Pod's."""
    return "" if address in _UNSPECIFIED else address


def controller_manager_target(cluster: ClusterSpec) -> Target:
    """Where the controller manager answers."""
    return _bound_target(cluster.spec.controller_manager.extra_args, _CONTROLLER_MANAGER_PORT)


def scheduler_target(cluster: ClusterSpec) -> Target:
    """Where the scheduler answers."""
    return _bound_target(cluster.spec.scheduler.extra_args, _SCHEDULER_PORT)


def _bound_target(extra: Iterable[ExtraArg], port: int) -> Target:
    """Where a component answers that `bind-address` may move, at its fixed port."""
    address = flags.last_value(extra, "bind-address")
    return Target("127.0.0.1" if address is None else _probed(address), port, "HTTPS")


def etcd_target(extra: Iterable[ExtraArg], localhost: str) -> Target:
    """Kubeadm's `GetEtcdProbeEndpoint`: the first URL of the flag, and what it leaves out by default."""
    # What cannot be read as a URL is etcd's to refuse: the probe then goes where it goes by default.
    default = Target(localhost, flags.ETCD_METRICS_PORT, "HTTP")
    value = flags.last_value(extra, "listen-metrics-urls")
    if value is None:
        return default
    try:
        url = urlsplit(value.split(",")[0])
        port = url.port
    except ValueError:
        return default
    return Target(
        url.hostname or localhost,
        port or flags.ETCD_METRICS_PORT,
        "HTTPS" if url.scheme == "https" else "HTTP",
    )


def _host_path(name: str, path: str, *, read_only: bool = True) -> HostPath:
    """A path of the host, mounted under the same name."""
    # As a file: replacing a kubeconfig by a rename leaves the old one in a running Pod.
    kind = _FILE if name == own_mounts.KUBECONFIG else _DIRECTORY
    return HostPath(name=name, path=path, mount_path=path, type=kind, read_only=read_only)


def _with_extra(own: Mapping[str, str], extra: Iterable[HostPathMount]) -> tuple[HostPath, ...]:
    """Our own mounts and the spec's, by name; of two with one name the later one stays."""
    paths = {name: _host_path(name, path) for name, path in own.items()}
    for mount in extra:
        paths[mount.name] = HostPath(
            name=mount.name,
            path=mount.host_path,
            mount_path=mount.mount_path,
            type=mount.path_type,
            read_only=mount.read_only,
        )
    return tuple(sorted(paths.values(), key=lambda path: path.name))
