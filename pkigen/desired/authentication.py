"""Whether API servers read whom they let in from a file of pkigen's, and where that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.spec.authentication import CLUSTER_CA

if TYPE_CHECKING:
    from pkigen.spec.model import ClusterSpec


def configuration_path(cluster: ClusterSpec) -> str:
    """Where the file is on every control-plane node; the mount of the certificates shows it to the Pod."""
    return f"{cluster.spec.certificates.directory}/{layout.AUTHENTICATION_CONFIGURATION}"


def is_configured(cluster: ClusterSpec) -> bool:
    """Whether API servers read the file."""
    authentication = cluster.spec.authentication
    return authentication is not None and authentication.has_file


def trusts_cluster_ca(cluster: ClusterSpec) -> bool:
    """Whether an issuer's server is verified by the CA of this cluster, which the file holds then."""
    return any(each.issuer.certificate_authority == CLUSTER_CA for each in cluster.token_issuers)
