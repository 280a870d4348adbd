"""Which paths a bundle may name: those of a Kubernetes node that pkigen knows, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STATE_DIRECTORY = "var/lib/pkigen"
RECORD = f"{STATE_DIRECTORY}/installed.json"
RUNBOOK = f"{STATE_DIRECTORY}/runbook.txt"
IDENTITY = f"{STATE_DIRECTORY}/identity.age"
"""Where a node keeps its age key, if not elsewhere."""
REQUEST_KEY = f"{STATE_DIRECTORY}/request.key"
"""What a node signs its requests with."""
PENDING = f"{STATE_DIRECTORY}/pending.json"
"""The keys that a node has made, until the answer to its request is installed."""
MODES = (layout.KEY_MODE, layout.CERTIFICATE_MODE)

# No name begins with a dot: the kubelet (`pkg/kubelet/config/file_linux.go`) and people who list a directory
# pass over such files.
_NAME = r"[A-Za-z0-9][A-Za-z0-9@_-]*(?:\.[A-Za-z0-9@_-]+)*"
_UNITS = "etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy"
# What kubeconfigs name by path lies in a directory of its component's.
_PEM = rf"(?:(?:etcd|controller-manager|scheduler|kubelet|kube-proxy)/)?{_NAME}\.(?:crt|key|pub)"
_CONFIGURATIONS = "|".join(
    map(
        re.escape,
        (
            layout.ENCRYPTION_CONFIGURATION,
            layout.AUTHENTICATION_CONFIGURATION,
            layout.AUTHORIZATION_CONFIGURATION,
            layout.AUTHORIZATION_WEBHOOK,
        ),
    )
)
_KNOWN = re.compile(
    rf"etc/kubernetes/(?:pki/(?:{_PEM}|{_CONFIGURATIONS})"
    rf"|{_NAME}\.conf|manifests/{_NAME}\.yaml|flags/{_NAME}\.env)"
    rf"|etc/systemd/system/(?:{_UNITS})\.service"
    r"|var/lib/kubelet/(?:config\.yaml|kubeadm-flags\.env|pki/kubelet\.(?:crt|key))"
    r"|var/lib/kube-proxy/config\.yaml"
    rf"|{re.escape(RUNBOOK)}"
)
# The same files where a spec has them elsewhere (`directory`): no other part of a tree moves.
_CERTIFICATE_FILES = re.compile(rf"(?:{_PEM}|{_CONFIGURATIONS})")
_LONGEST = 240

KIT_SPEC = layout.SPEC_FILE
KIT_RUNBOOK = "rescue.txt"
KIT_TEMPLATES = "templates"
_ANY = r"[A-Za-z0-9_-][A-Za-z0-9@._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9@._-]*)*"
_OF_A_KIT = re.compile(
    rf"(?:{layout.AUTHORITY}|{KIT_TEMPLATES})/{_ANY}"
    rf"|{re.escape(layout.LOCK_FILE)}|{re.escape(layout.LEDGER_FILE)}"
    rf"|{re.escape(KIT_SPEC)}|{re.escape(KIT_RUNBOOK)}"
)


def require_known(paths: Iterable[str], *, directory: str | None = None, whose: str = "the bundle") -> None:
    """Refuse paths that no node of a cluster has, and paths that a file system could take for one another.

    Args:
        paths: Relative to the node's root.
        directory: Where certificates stand on this host, if a person says that it is not /etc/kubernetes/pki.
        whose: What names the paths, for the message.

    Raises:
        BundleError: One of them is not of the known layout.
    """
    require_safe(
        paths,
        known=lambda path: _is_known(path, directory),
        stranger="is not a known file of a Kubernetes node",
        hint="nothing was written; another certificates.directory needs --certificates-dir",
        whose=whose,
    )


def require_safe(
    paths: Iterable[str], *, known: Callable[[str], bool], stranger: str, hint: str, whose: str = "the bundle"
) -> None:
    """Refuse paths that lead elsewhere, are unknown, or that a file system could take for one another.

    Args:
        paths: Relative to the root.
        known: Whether a path is of the layout.
        stranger: What is said of one that is not.
        hint: What is said with that.
        whose: What names the paths, for the message.

    Raises:
        BundleError: One of them is not of the layout.
    """
    seen: dict[str, str] = {}
    for path in paths:
        fault = path_fault(path)
        if fault is None and not known(path):
            fault = stranger
        if fault is not None:
            raise BundleError(f"{whose} names {path!r}, which {fault}", hint=hint)
        # A medium's file system, such as FAT, does not tell case apart.
        other = seen.setdefault(path.lower(), path)
        if other is not path:
            same = "twice" if other == path else f"beside {other!r}, which differs only in case"
            raise BundleError(f"{whose} names {path!r} {same}")
    for path in seen:
        above = path
        # Otherwise it would depend on the order which of the two is installed.
        while above := above.rpartition("/")[0]:
            if above in seen:
                raise BundleError(f"{whose} names {above!r} as a file and as a directory")


def require_rescue(paths: Iterable[str]) -> None:
    """Refuse paths that no kit has.

    Raises:
        BundleError: One of them is not of the known layout.
    """
    require_safe(
        paths,
        known=lambda path: bool(_OF_A_KIT.fullmatch(path)),
        stranger="is not a file of a rescue kit",
        hint="nothing was written",
        whose="the kit",
    )


def path_fault(path: str) -> str | None:
    """Why a path could lead somewhere else than it says; None where it cannot."""
    parts = path.split("/")
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "leads upwards"
    if "" in parts or "." in parts:
        return "has an empty component"
    if not path.isascii() or not path.isprintable() or "\\" in path:
        return "has characters that no file of a node has"
    if len(path) > _LONGEST:
        return "is too long"
    return None


def _is_known(path: str, directory: str | None) -> bool:
    """Whether a node has such a path; another directory of certificates is for a person to name."""
    if _KNOWN.fullmatch(path):
        return True
    prefix = f"{directory.strip('/')}/" if directory else None
    return bool(
        prefix and path.startswith(prefix) and _CERTIFICATE_FILES.fullmatch(path.removeprefix(prefix))
    )
