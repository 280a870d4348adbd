"""The distributions whose authority pkigen can be, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.desired.generations import CA, SA, ca_id
from pkigen.distributions import cluster_api, directories, k8s_snap, talos
from pkigen.distributions.names import Distribution
from pkigen.errors import UsageError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pkigen.distributions.authority_files import AuthorityFiles
    from pkigen.distributions.exported import ExportedFile, ExportMeans
    from pkigen.distributions.found import FoundAuthority, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """How one distribution takes an authority up, and how it has its own.

    Attributes:
        files: What is written.
        read: What is taken over of its files.
        next_step: What to do with the files; `{out}` is where they are, `{name}` the cluster.
        needs_etcd: Whether it cannot do without the etcd CA.
        overlaps: The ids of what it has a place for two generations of.
        takes_base: Whether it has files that hold more than this, which can be given.
        takes_etcd: Whether it has a place for the CA and the client certificate of an external etcd.
    """

    files: Callable[[AuthorityFiles, ExportMeans], tuple[ExportedFile, ...]]
    read: Callable[[Source], FoundAuthority]
    next_step: str
    needs_etcd: bool = True
    # Every form but k8s-snap's has room for several keys that judge tokens.
    overlaps: frozenset[str] = frozenset({SA})
    takes_base: bool = False
    takes_etcd: bool = False


def _of_authority(
    files: Callable[[AuthorityFiles], tuple[ExportedFile, ...]],
) -> Callable[[AuthorityFiles, ExportMeans], tuple[ExportedFile, ...]]:
    """What is written needs nothing but the authority."""
    return lambda authority, _means: files(authority)


_SECRETS: Final = FormatRow(
    files=_of_authority(cluster_api.secrets),
    read=cluster_api.read_secrets,
    next_step="on the management cluster, before the Cluster object is made there, "
    "`kubectl apply -f {out}/{name}-secrets.yaml`",
    needs_etcd=False,
    takes_etcd=True,
)
# Before the first start k3s takes what lies in server/tls for its own; later only `rotate-ca` may replace it,
# which also tells the other servers by the datastore.
_RANCHER: Final = (
    "before the first start, copy {out}/tls to /var/lib/rancher/{program}/server/tls of the first server; "
    "on a running one, `{program} certificate rotate-ca --path {out}`"
)
_EVERYTHING: Final = frozenset({*map(ca_id, CA), SA})


def _rancher(program: str) -> FormatRow:
    return FormatRow(
        files=_of_authority(directories.k3s),
        read=directories.read_k3s,
        next_step=_RANCHER.replace("{program}", program),
        overlaps=_EVERYTHING,
    )


ROWS: Final[Mapping[Distribution, FormatRow]] = {
    Distribution.CLUSTER_API: _SECRETS,
    Distribution.K0SMOTRON: _SECRETS,
    Distribution.TALOS: FormatRow(
        files=talos.secrets_file,
        read=talos.read_secrets_file,
        next_step="`talosctl gen config {name} https://ENDPOINT:6443 --with-secrets {out}/secrets.yaml`",
        # etcd of Talos has no list of accepted CAs.
        overlaps=_EVERYTHING - {ca_id(CA.ETCD)},
        takes_base=True,
    ),
    Distribution.K3S: _rancher("k3s"),
    Distribution.RKE2: _rancher("rke2"),
    Distribution.K0S: FormatRow(
        files=_of_authority(directories.kubeadm_names),
        read=directories.read_kubeadm_names,
        next_step="before the first start, copy {out}/ to /var/lib/k0s/pki of the first controller",
        needs_etcd=False,
    ),
    Distribution.KUBESPRAY: FormatRow(
        files=_of_authority(directories.kubespray),
        read=directories.read_kubespray,
        next_step="before the playbook runs, copy {out}/etc to /etc of the first control-plane node, and of "
        "the first node of etcd",
        needs_etcd=False,
    ),
    Distribution.K8S_SNAP: FormatRow(
        files=_of_authority(k8s_snap.bootstrap_file),
        read=k8s_snap.read_bootstrap_file,
        next_step="`k8s bootstrap --file {out}/bootstrap.yaml`",
        needs_etcd=False,
        # Of the cluster's CA two that were adopted as such; no more than one key that judges tokens.
        overlaps=frozenset({ca_id(CA.KUBERNETES)}),
    ),
}


def files_for(
    distribution: Distribution, authority: AuthorityFiles, means: ExportMeans
) -> tuple[ExportedFile, ...]:
    """What a distribution is given.

    Raises:
        AdoptionError: The file whose other contents are to be kept is none.
        AuthorityError: A rotation is under way for which the form has no place.
        UsageError: It needs a CA that the cluster does not have, or was given what it has no place for.
    """
    row = ROWS[distribution]
    if row.needs_etcd and CA.ETCD not in authority.cas:
        raise UsageError(
            f"{distribution} needs the CA of etcd, and this cluster's etcd is external",
            hint="its etcd's CA is elsewhere: this cluster cannot be moved there as a whole",
        )
    if means.base is not None and not row.takes_base:
        raise UsageError(f"--base means nothing to {distribution}: its files hold CAs and keys, and no more")
    if authority.external_etcd is not None and not row.takes_etcd:
        raise UsageError(f"{distribution} is not given the client certificate of an external etcd")
    return row.files(authority, means)
