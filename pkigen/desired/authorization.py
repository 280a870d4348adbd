"""Whether API servers take their authorizers from a file of pkigen's, and where that is.

Revoking needs both that structured authorization is stable and that a client certificate has a credential
id: `spec.versions` says since when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.spec.flag_combinations import AUTHORIZATION_FLAG, LEGACY_AUTHORIZATION
from pkigen.spec.model import ManagedFiles
from pkigen.spec.versions import STRUCTURED_AUTHORIZATION

if TYPE_CHECKING:
    from pkigen.spec.model import ClusterSpec


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
    is_stable = STRUCTURED_AUTHORIZATION.holds(spec.kubernetes_version)
    # Beside any of these the API server refuses its file (kubeapiserver/options/authorization.go, Validate).
    if not is_stable or given.keys() & set(LEGACY_AUTHORIZATION):
        return False
    named, chosen = given.get(AUTHORIZATION_FLAG), spec.api_server.structured_authorization
    if named is not None:
        return named == configuration_path(cluster)
    return cluster.manages(ManagedFiles.MANIFESTS) if chosen is None else chosen


def is_managed(cluster: ClusterSpec) -> bool:
    """Whether pkigen writes the file; in a cluster that was taken over only where the spec asks for it."""
    return cluster.manages(ManagedFiles.MANIFESTS) or cluster.spec.api_server.structured_authorization is True
