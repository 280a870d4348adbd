"""Who may read and change the files, by mode and owner, with the numbers of the CIS Kubernetes Benchmark."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.inspection import SECRET_FLAGS
from pkigen.adoption.programs import MANIFESTS
from pkigen.adoption.severity import AuditSeverity
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import ForeignCluster, ForeignNode
    from pkigen.adoption.node_tree import FoundFile

_OTHERS_READ: Final = 0o004
_GROUP_READS: Final = 0o040
_OTHERS_WRITE: Final = 0o002
_GROUP_WRITES: Final = 0o020
_BEYOND_OWNER: Final = 0o077
# The number for the file's mode, and that for its owner.
_CIS: Final = {
    f"{MANIFESTS}/kube-apiserver.yaml": ("1.1.1", "1.1.2"),
    f"{MANIFESTS}/kube-controller-manager.yaml": ("1.1.3", "1.1.4"),
    f"{MANIFESTS}/kube-scheduler.yaml": ("1.1.5", "1.1.6"),
    f"{MANIFESTS}/etcd.yaml": ("1.1.7", "1.1.8"),
    "/etc/kubernetes/admin.conf": ("1.1.13", "1.1.14"),
    "/etc/kubernetes/super-admin.conf": ("1.1.13", "1.1.14"),
    "/etc/kubernetes/scheduler.conf": ("1.1.15", "1.1.16"),
    "/etc/kubernetes/controller-manager.conf": ("1.1.17", "1.1.18"),
    "/etc/kubernetes/kubelet.conf": ("4.1.5", "4.1.6"),
    "/var/lib/kubelet/config.yaml": ("4.1.9", "4.1.10"),
    "/etc/systemd/system/kubelet.service": ("4.1.1", "4.1.2"),
    "/var/lib/kube-proxy/kubeconfig.conf": ("4.1.3", "4.1.4"),
}
_CERTIFICATE_MODE: Final = "1.1.20"
_KEY_MODE: Final = "1.1.21"
_PKI_OWNER: Final = "1.1.19"


def key_exposed(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A private key or another secret that others than its owner can read or change."""
    for node in cluster.nodes:
        for file in node.files:
            if file.mode & _BEYOND_OWNER and _is_secret(node, file) and not _is_meant(node, file):
                yield _exposed(node, file)


def _is_meant(node: ForeignNode, file: FoundFile) -> bool:
    """Whether the group that reads it is one that a component runs as (RootlessControlPlane)."""
    groups = frozenset(gid for program in node.programs for gid in program.gids) - {0}
    # kubeadm lets a group read sa.key, which two components share: 0640 (cmd/kubeadm/app/util/staticpod
    # `RunComponentAsNonRoot`).
    return file.mode & _BEYOND_OWNER == _GROUP_READS and file.gid in groups


def _exposed(node: ForeignNode, file: FoundFile) -> AuditFinding:
    open_to_all = file.mode & (_OTHERS_READ | _OTHERS_WRITE)
    writable = file.mode & (_OTHERS_WRITE | _GROUP_WRITES)
    holds_key = file.path in node.contents or b"client-key-data" in file.data
    return AuditFinding(
        rule=AuditRule.KEY_EXPOSED,
        severity=AuditSeverity.ERROR if open_to_all else AuditSeverity.WARNING,
        spot=node.spot(file.path),
        detail=f"its mode is {file.mode:04o}: {'everybody' if open_to_all else 'its group'} can "
        + ("change it" if writable else f"read the {'private key' if holds_key else 'secrets in it'}"),
        cis=_CIS.get(file.path, (_KEY_MODE if holds_key else "", ""))[0],
    )


def _is_secret(node: ForeignNode, file: FoundFile) -> bool:
    content = node.contents.get(file.path)
    if content is not None:
        return content.holds_private
    kubeconfig = node.kubeconfig(file.path)
    if kubeconfig is None:
        return file.path in _secret_paths(node)
    # One that names its credentials by path, or runs a program for them, holds no secret.
    return any(word in file.data for word in (b"client-key-data", b"token", b"password"))


def _secret_paths(node: ForeignNode) -> set[str]:
    """What API servers read the keys of encrypted Secrets, and static tokens, from."""
    return {
        node.spot(program.flags.host_path(program.flags.value(flag))).path
        for program in node.running(ComponentName.API_SERVER)
        for flag in SECRET_FLAGS
        if program.flags.value(flag)
    }


def permissive_mode(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Certificates that others can replace, and manifests that others can read or change."""
    for node in cluster.nodes:
        for file in node.files:
            if not _is_secret(node, file):
                yield from _of_file(node, file)
        yield from _of_directories(node)


def _of_file(node: ForeignNode, file: FoundFile) -> Iterator[AuditFinding]:
    writable = file.mode & (_OTHERS_WRITE | _GROUP_WRITES)
    is_manifest = posixpath.dirname(file.path) == MANIFESTS
    is_configuration = file.path in _CIS and not is_manifest
    if file.path in node.contents or is_manifest or is_configuration:
        number = _CIS.get(file.path, (_CERTIFICATE_MODE, ""))[0]
    else:
        return
    if writable:
        severity, what = AuditSeverity.ERROR, "others than its owner can change it"
    elif file.mode & _BEYOND_OWNER and is_manifest:
        severity, what = AuditSeverity.WARNING, "others than its owner can read it"
    # The benchmark wants 0600 of all of these; without a secret in it, to be readable lets nobody in.
    elif file.mode & _BEYOND_OWNER and is_configuration:
        severity, what = AuditSeverity.INFORMATION, "the benchmark wants 0600; no secret is in it"
    else:
        return
    yield AuditFinding(
        rule=AuditRule.PERMISSIVE_MODE,
        severity=severity,
        spot=node.spot(file.path),
        detail=f"its mode is {file.mode:04o}: {what}",
        cis=number,
    )


def _of_directories(node: ForeignNode) -> Iterator[AuditFinding]:
    """Who can write a directory can replace what is in it."""
    secrets = (*node.contents, *(each.spot.path for each in node.kubeconfigs))
    paths = {posixpath.dirname(path) for path in secrets} | {MANIFESTS}
    for path in sorted(paths):
        # Its own mode, not those above it: directories above may be closed to others and make a wide one
        # harmless, but that is no reason to keep it wide.
        entry = node.tree.directory(path)
        if entry is not None and entry.mode & (_OTHERS_WRITE | _GROUP_WRITES):
            yield AuditFinding(
                rule=AuditRule.PERMISSIVE_MODE,
                severity=AuditSeverity.ERROR,
                spot=node.spot(path),
                detail=f"the directory's mode is {entry.mode:04o}: others can replace its files",
                cis=_PKI_OWNER if path != MANIFESTS else "",
            )


def wrong_owner(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Files that are not root's, nor those of who runs the component.

    A copy that somebody else than root has made belongs to that person as a whole, which says nothing of the
    node.
    """
    for node in cluster.nodes:
        watched = [file for file in node.files if _is_watched(node, file)]
        owners = {file.uid for file in watched}
        if 0 not in owners:
            continue
        allowed = {uid for program in node.programs for uid in program.uids} | {0}
        for file in watched:
            if file.uid not in allowed:
                yield AuditFinding(
                    rule=AuditRule.WRONG_OWNER,
                    severity=AuditSeverity.WARNING,
                    spot=node.spot(file.path),
                    detail=f"it belongs to the user {file.uid}, not to root",
                    cis=_CIS.get(file.path, ("", _PKI_OWNER))[1],
                )


def _is_watched(node: ForeignNode, file: FoundFile) -> bool:
    return (
        file.path in node.contents
        or file.path in _CIS
        or posixpath.dirname(file.path) == MANIFESTS
        or node.kubeconfig(file.path) is not None
    )
