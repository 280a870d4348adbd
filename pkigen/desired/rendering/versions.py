"""What differs from one Kubernetes version to the next in what kubeadm writes, as tables with their sources.

What has no row here is the same from v1.29 to v1.37. The source of v1.37 was not at hand: its etcd image is
known from its kubeadm's output, and manifests of v1.37.0 are as long, to the byte, as those made here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.spec.values import KubernetesVersion


class ProbePaths(NamedTuple):
    """The paths that the kubelet probes."""

    liveness: str
    readiness: str | None
    startup: str


# The default tag of the etcd image (`DefaultEtcdVersion` in cmd/kubeadm/app/constants/constants.go), by the
# first minor and patch version that has it, ascending: release branches changed it in patch releases.
_ETCD_TAGS: Final = (
    # v1.29.0 to v1.32.0: minikube's generated pkg/minikube/constants/constants_kubeadm_images.go.
    ((29, 0), "3.5.10-0"),
    ((29, 3), "3.5.12-0"),
    ((29, 9), "3.5.15-0"),
    ((30, 0), "3.5.12-0"),
    ((30, 5), "3.5.15-0"),
    ((31, 0), "3.5.15-0"),
    # kubernetes#135020, #135019 and #135018 (November 2025), in the next patch release of each branch;
    # published image lists show 3.5.24-0 for v1.31.14, v1.32.13 and v1.33.7, and 3.5.21-0 for v1.33.5.
    ((31, 14), "3.5.24-0"),
    ((32, 0), "3.5.16-0"),
    ((32, 10), "3.5.24-0"),
    ((33, 0), "3.5.21-0"),
    ((33, 6), "3.5.24-0"),
    # Published image lists: 3.6.4-0 for v1.34.1, 3.6.5-0 for v1.34.3, v1.34.9 and v1.34.10.
    ((34, 0), "3.6.4-0"),
    ((34, 2), "3.6.5-0"),
    # Published image lists for v1.35.0, v1.35.2 and v1.35.8.
    ((35, 0), "3.6.6-0"),
    # The source of v1.36.2; published image lists for v1.36.1 and v1.36.5.
    ((36, 0), "3.6.8-0"),
    # kubernetes#140333; `kubeadm config images list` of v1.37.0 and v1.37.1.
    ((37, 0), "3.7.0-0"),
)

# kubernetes#124465, kubeadm#3039 (v1.31): etcd's own /livez and /readyz, and a readiness probe.
_ETCD_READYZ_SINCE: Final = 31
# etcd's CHANGELOG-3.5. kubeadm does not look: an older etcd would be restarted for ever, for want of /livez.
_READYZ_IN_ETCD_SINCE: Final = (3, 5, 11)
# kubernetes#126945 (v1.32); manifests of v1.31.0 and v1.31.4 still have /healthz and no readiness probe.
_SCHEDULER_LIVEZ_SINCE: Final = 32
# kubernetes#132776 (v1.34): a container port named probe-port, and probes by that name.
_PROBE_PORT_SINCE: Final = 34
# kubernetes#123654 (v1.30): --authorization-mode would exclude --authorization-config.
_AUTHORIZATION_CONFIG_SINCE: Final = 30
# kubernetes#132838: etcd 3.6 deprecated the experimental flags, 3.7 refuses them. kubeadm v1.34 and v1.35 ask
# the etcd version, as here; before, kubeadm always wrote the old ones, since v1.36 the new ones (#135701).
_ETCD_FEATURE_GATES_SINCE: Final = (3, 6, 0)

# kubernetes#132922 (v1.36): the feature gate ClientsAllowCARotation is on by default.
_CA_FILES_READ_AGAIN_SINCE: Final = 36

_TAG: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\D.*)?")
_SOME_LATE_PATCH: Final = "99"


def etcd_tag(version: KubernetesVersion) -> str:
    """The tag of the etcd image that belongs to a version of Kubernetes."""
    known = [tag for since, tag in _ETCD_TAGS if since <= (version.minor, version.patch)]
    return known[-1]


def etcd_has_feature_gates(version: KubernetesVersion, tag: str | None) -> bool:
    """Whether etcd takes `--feature-gates` instead of `--experimental-…` flags.

    Args:
        version: Of Kubernetes.
        tag: The spec's own tag of the etcd image; one that is no version says nothing.
    """
    return _etcd_version(version, tag) >= _ETCD_FEATURE_GATES_SINCE


def _etcd_version(version: KubernetesVersion, tag: str | None) -> tuple[int, ...]:
    match = _TAG.fullmatch(tag or "") or _TAG.fullmatch(etcd_tag(version))
    return tuple(map(int, match.groups(_SOME_LATE_PATCH))) if match else ()


def etcd_probes(version: KubernetesVersion, tag: str | None) -> ProbePaths:
    """The probes of etcd.

    Args:
        version: Of Kubernetes.
        tag: The spec's own tag of the etcd image; one that is no version says nothing.
    """
    if version.minor >= _ETCD_READYZ_SINCE and _etcd_version(version, tag) >= _READYZ_IN_ETCD_SINCE:
        return ProbePaths("/livez", "/readyz", "/readyz")
    return ProbePaths("/health?exclude=NOSPACE&serializable=true", None, "/health?serializable=false")


def scheduler_probes(version: KubernetesVersion) -> ProbePaths:
    """The probes of the scheduler."""
    if version.minor >= _SCHEDULER_LIVEZ_SINCE:
        return ProbePaths("/livez", "/readyz", "/livez")
    return ProbePaths("/healthz", None, "/healthz")


def probe_port_name(version: KubernetesVersion) -> str | None:
    """The name of the container port that the probes refer to, where there is one."""
    return "probe-port" if version.minor >= _PROBE_PORT_SINCE else None


def authorization_config_replaces_mode(version: KubernetesVersion) -> bool:
    """Whether the default of `--authorization-mode` gives way to `--authorization-config`."""
    return version.minor >= _AUTHORIZATION_CONFIG_SINCE


def client_go_reads_ca_files_again(version: KubernetesVersion, gates: Iterable[str]) -> bool:
    """Whether a component takes up another CA that it verifies servers with while it runs.

    Args:
        version: Of Kubernetes.
        gates: The values of its `--feature-gates`, in order.
    """
    chosen = dict(gate.strip().partition("=")[::2] for value in gates for gate in value.split(","))
    # A gate that is named counts more than all of its stage (component-base `featuregate`).
    default = "AllBeta" not in chosen or _is_true(chosen["AllBeta"])
    named = chosen.get("ClientsAllowCARotation")
    return version.minor >= _CA_FILES_READ_AGAIN_SINCE and (default if named is None else _is_true(named))


def _is_true(value: str) -> bool:
    return value.strip().lower() in {"1", "t", "true"}
