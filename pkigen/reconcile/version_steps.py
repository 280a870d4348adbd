"""Changes of versions that Kubernetes and etcd do not make in one step, where images follow from the spec.

https://kubernetes.io/releases/version-skew-policy/ and https://etcd.io/docs/v3.6/downgrades/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.records import dataclass
from pkigen.spec.model import ManagedFiles, Runtime
from pkigen.spec.values import KubernetesVersion, parse_version
from pkigen.spec.versions import etcd_tag, tag_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.spec.model import ClusterSpec
    from pkigen.state.lockfile import Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a control plane's images are."""

    kubernetes: KubernetesVersion
    etcd: tuple[int, ...]
    """Empty where etcd is somebody else's, or its tag no version."""

    @classmethod
    def wanted(cls, cluster: ClusterSpec) -> Versions | None:
        """What a spec asks for; None where others than pkigen choose the programs."""
        spec = cluster.spec
        if spec.runtime is not Runtime.STATIC_PODS or not cluster.manages(ManagedFiles.MANIFESTS):
            return None
        own = spec.etcd.external is None
        tag = spec.etcd.image_tag or etcd_tag(spec.kubernetes_version)
        # Major and minor alone, as etcd compares them at start (etcdserver/version/downgrade.go,
        # MustDetectDowngrade).
        return cls(kubernetes=spec.kubernetes_version, etcd=tag_version(tag)[:2] if own else ())

    @classmethod
    def recorded(cls, lock: Lock | None) -> Versions | None:
        """What the last spec asked for, as far as this pkigen knows it."""
        if lock is None:
            return None
        try:
            kubernetes = parse_version(lock.said("spec", "kubernetesVersion"))
        except ValueError:
            return None
        tag = lock.said("spec", "etcd", "imageTag") or etcd_tag(kubernetes)
        return cls(kubernetes=kubernetes, etcd=tag_version(str(tag))[:2])


def version_steps(before: Versions | None, after: Versions | None, paths: Iterable[str]) -> Iterator[str]:
    """What cannot be done in one step, or not at all, a sentence each.

    Args:
        before: What runs.
        after: What is to run.
        paths: Of the files that change; where no manifest does, nothing runs in another version.
    """
    if before is None or after is None or not any("/manifests/" in path for path in paths):
        return
    old, new = before.kubernetes.minor, after.kubernetes.minor
    if new > old + 1:
        yield (
            f"it skips Kubernetes v1.{old + 1}: API servers of v1.{old} and v1.{new} would run side by side, "
            f"and Kubernetes is upgraded one minor version at a time; go by way of v1.{old + 1}"
        )
    elif new < old:
        yield (
            f"it takes Kubernetes back from v1.{old} to v1.{new}, which Kubernetes does not support: etcd "
            "may hold what the older API servers cannot read"
        )
    if after.etcd and after.etcd < before.etcd:
        texts = [".".join(map(str, each)) for each in (before.etcd, after.etcd)]
        yield (
            f"it takes etcd back from v{texts[0]} to v{texts[1]}, which does not start with what the newer "
            f"one has written, unless `etcdctl downgrade enable {texts[1]}` came first"
        )
