"""What pkigen itself mounts into the static Pods of the control plane, by the names that kubeadm gives it.

Each path of the host is mounted under the same path (`cmd/kubeadm/app/phases/controlplane/volumes.go`).
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.spec.certificates import Kubeconfigs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.spec.components import ExternalEtcd
    from pkigen.spec.model import Spec

KUBECONFIG = "kubeconfig"
_SCHEDULER_CREDENTIALS = "scheduler-credentials"
CA_CERTIFICATES = "/etc/ssl/certs"
MORE_CA_CERTIFICATES = (
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)


def of_api_server(spec: Spec) -> Mapping[str, str]:
    """The paths in the API server's Pod, by the volumes' names."""
    return {**_certificates(spec), **_external_etcd(spec.etcd.external, spec.certificates.directory)}


def of_controller_manager(spec: Spec) -> Mapping[str, str]:
    """The paths in the controller manager's Pod, by the volumes' names."""
    return {**_certificates(spec), KUBECONFIG: layout.CONTROLLER_MANAGER_KUBECONFIG}


def of_scheduler(spec: Spec) -> Mapping[str, str]:
    """The paths in the scheduler's Pod, by the volumes' names."""
    named = spec.certificates.kubeconfigs is Kubeconfigs.FILES
    directory = layout.credentials_directory(spec.certificates.directory, layout.SCHEDULER_KUBECONFIG)
    return {KUBECONFIG: layout.SCHEDULER_KUBECONFIG, **({_SCHEDULER_CREDENTIALS: directory} if named else {})}


def of_etcd(spec: Spec) -> Mapping[str, str]:
    """The paths in a member's Pod, by the volumes' names."""
    return {"etcd-data": spec.etcd.data_dir, "etcd-certs": f"{spec.certificates.directory}/etcd"}


def _certificates(spec: Spec) -> Mapping[str, str]:
    """The cluster's certificates, and the host's CAs for servers outside of the cluster."""
    return {"k8s-certs": spec.certificates.directory, "ca-certs": CA_CERTIFICATES}


def _external_etcd(external: ExternalEtcd | None, directory: str) -> Mapping[str, str]:
    """The folders of an external etcd's files that no other mount covers (kubeadm's `getEtcdCertVolumes`)."""
    if external is None:
        return {}
    covered = (CA_CERTIFICATES, *MORE_CA_CERTIFICATES, directory)
    folders: set[str] = set()
    for file in (external.ca_file, external.cert_file, external.key_file):
        if file and not posixpath.dirname(file).startswith(covered):
            # One mount for each folder that is not inside another.
            folders = _with_folder(folders, posixpath.dirname(file))
    return {f"etcd-certs-{number}": folder for number, folder in enumerate(sorted(folders))}


def _with_folder(folders: set[str], folder: str) -> set[str]:
    """The outermost of these folders and one more; kubeadm, too, compares the beginning of the text only."""
    inside = any(folder.startswith(other) and not other.startswith(folder) for other in folders)
    outside = {other for other in folders if not other.startswith(folder)}
    return outside if inside else outside | {folder}
