"""The distributions that a cluster's authority can be exported for, as a table."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pkigen.desired.generations import CA
from pkigen.distributions import cluster_api, directories, k8s_snap
from pkigen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pkigen.distributions.authority_files import AuthorityFiles
    from pkigen.distributions.exported import ExportedFile


class Distribution(enum.StrEnum):
    """Who takes the authority up."""

    CLUSTER_API = "cluster-api"
    K0SMOTRON = "k0smotron"
    TALOS = "talos"
    K3S = "k3s"
    RKE2 = "rke2"
    K0S = "k0s"
    KUBESPRAY = "kubespray"
    K8S_SNAP = "k8s-snap"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """How one distribution takes an authority up.

    Attributes:
        files: What is written.
        next_step: What to do with the files; `{out}` is where they are, `{name}` the cluster.
        needs_etcd: Whether it cannot do without the etcd CA.
        during_rotation: Whether it has a place for two generations of a CA.
    """

    files: Callable[[AuthorityFiles], tuple[ExportedFile, ...]]
    next_step: str
    needs_etcd: bool = True
    during_rotation: bool = False


_SECRETS: Final = ExportRow(
    files=cluster_api.secrets,
    next_step="on the management cluster, before the Cluster object is made there, "
    "`kubectl apply -f {out}/{name}-secrets.yaml`",
    needs_etcd=False,
)
_RANCHER: Final = (
    "before the first start, copy {out}/tls to /var/lib/rancher/{program}/server/tls of the first server; "
    "on a running one, `{program} certificate rotate-ca --path {out}`"
)
ROWS: Final[Mapping[Distribution, ExportRow]] = {
    Distribution.CLUSTER_API: _SECRETS,
    Distribution.K0SMOTRON: _SECRETS,
    Distribution.TALOS: ExportRow(
        files=directories.kubeadm_names,
        next_step="`talosctl gen secrets --from-kubernetes-pki {out} --kubernetes-bootstrap-token TOKEN`",
    ),
    Distribution.K3S: ExportRow(
        files=directories.k3s,
        next_step=_RANCHER.replace("{program}", "k3s"),
        during_rotation=True,
    ),
    Distribution.RKE2: ExportRow(
        files=directories.k3s,
        next_step=_RANCHER.replace("{program}", "rke2"),
        during_rotation=True,
    ),
    Distribution.K0S: ExportRow(
        files=directories.kubeadm_names,
        next_step="before the first start, copy {out}/ to /var/lib/k0s/pki of the first controller",
        needs_etcd=False,
    ),
    Distribution.KUBESPRAY: ExportRow(
        files=directories.kubespray,
        next_step="before the playbook runs, copy {out}/etc to /etc of the first control-plane node, and of "
        "the first node of etcd",
        needs_etcd=False,
    ),
    Distribution.K8S_SNAP: ExportRow(
        files=k8s_snap.bootstrap_file,
        next_step="`k8s bootstrap --file {out}/bootstrap.yaml`",
        needs_etcd=False,
    ),
}


def files_for(distribution: Distribution, authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """What a distribution is given.

    Raises:
        UsageError: It needs a CA that the cluster does not have.
    """
    row = ROWS[distribution]
    if row.needs_etcd and CA.ETCD not in authority.cas:
        raise UsageError(
            f"{distribution} needs the CA of etcd, and this cluster's etcd is external",
            hint="its etcd's CA is elsewhere: this cluster cannot be moved there as a whole",
        )
    return row.files(authority)
