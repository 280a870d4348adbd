"""Whether API servers take their authorizers from a file of pkigen's, and where that is.

Structured authorization is stable from Kubernetes v1.32 on (KEP-3221, `apiserver.config.k8s.io/v1`), and from
the same version on a client certificate has a credential id (kubernetes#125634). Both are needed to revoke.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.spec.model import ManagedFiles

if TYPE_CHECKING:
    from pkigen.spec.model import ClusterSpec

STABLE_SINCE: Final = 32
"""The minor version of Kubernetes."""
CONFIG_FLAG: Final = "authorization-config"
# kubeapiserver/options/authorization.go, AreLegacyFlagsSet: none of them goes together with the file.
EXCLUDING_FLAGS: Final = (
    "authorization-mode",
    "authorization-webhook-config-file",
    "authorization-webhook-version",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
)


def configuration_path(cluster: ClusterSpec) -> str:
    """Where the file is on every control-plane node; the mount of the certificates shows it to the Pod."""
    return f"{cluster.spec.certificates.directory}/{layout.AUTHORIZATION_CONFIGURATION}"


def webhook_path(cluster: ClusterSpec) -> str:
    """Where the kubeconfig is that the file refers to."""
    return f"{cluster.spec.certificates.directory}/{layout.AUTHORIZATION_WEBHOOK}"


def is_structured(cluster: ClusterSpec) -> bool:
    """Whether API servers read pkigen's file: flags that somebody has given himself count more."""
    spec = cluster.spec
    given = {argument.name: argument.value for argument in spec.api_server.extra_args}
    if spec.kubernetes_version.minor < STABLE_SINCE or given.keys() & set(EXCLUDING_FLAGS):
        return False
    named, chosen = given.get(CONFIG_FLAG), spec.api_server.structured_authorization
    if named is not None:
        return named == configuration_path(cluster)
    return cluster.manages(ManagedFiles.MANIFESTS) if chosen is None else chosen


def is_managed(cluster: ClusterSpec) -> bool:
    """Whether pkigen writes the file; in a cluster that was taken over only where the spec asks for it."""
    return cluster.manages(ManagedFiles.MANIFESTS) or cluster.spec.api_server.structured_authorization is True
