"""Changes of flags that ask for more than a restart: something else has to be done first.

etcd keeps the address by which peers know a member itself (`etcdctl member list`), so a member that comes
back under another one is not found. And an API server that begins to verify kubelets refuses those that do
not serve their new certificate yet.
"""

from __future__ import annotations

from pkigen import layout
from pkigen.desired.items import FileKind
from pkigen.desired.rendering import read_back
from pkigen.desired.rendering.flags import flag_name
from pkigen.records import dataclass
from pkigen.state.reasons import Reason

_DEFINITIONS = {
    f"{layout.MANIFESTS_DIRECTORY}/etcd.yaml": FileKind.ETCD,
    f"{layout.FLAGS_DIRECTORY}/etcd.env": FileKind.ETCD_FLAGS,
    f"{layout.MANIFESTS_DIRECTORY}/kube-apiserver.yaml": FileKind.KUBE_APISERVER,
    f"{layout.FLAGS_DIRECTORY}/kube-apiserver.env": FileKind.KUBE_APISERVER_FLAGS,
}
_ETCD = frozenset({FileKind.ETCD, FileKind.ETCD_FLAGS})


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChange:
    """What changes, and what it is for people."""

    reason: Reason
    detail: str


def defines_component(path: str) -> bool:
    """Whether a path in the PKI directory is that of a manifest or flags whose changes are looked into."""
    return _kind(path) is not None


def flag_change(path: str, old: bytes, new: bytes) -> FlagChange | None:
    """What a change of this file asks for beside a restart; None where nothing."""
    kind = _kind(path)
    if kind is None:
        return None
    flag = "initial-advertise-peer-urls" if kind in _ETCD else "kubelet-certificate-authority"
    before, after = (_value(text, kind, flag) for text in (old, new))
    # A flag that goes asks for nothing: etcd keeps the member's address, and no kubelet is refused.
    if after in {before, ""}:
        return None
    if kind in _ETCD:
        # A member that is new has no address that its peers know.
        if not before:
            return None
        detail = f"{path}: the peer URLs of the etcd member change from {before} to {after}"
        return FlagChange(reason=Reason.MEMBER_MOVES, detail=detail)
    # It verified them already, by whichever file.
    if before:
        return None
    detail = f"{path}: the API server begins to verify kubelets (--{flag})"
    return FlagChange(reason=Reason.VERIFIES_KUBELETS, detail=detail)


def _kind(path: str) -> FileKind | None:
    """What a path defines, if it is in a node's tree; None for everything else."""
    found = (kind for place, kind in _DEFINITIONS.items() if path.endswith(place))
    return next(found, None) if path.startswith(f"{layout.NODES}/") else None


def _value(text: bytes, kind: FileKind, flag: str) -> str:
    """The last value of a flag, which is the one that counts; empty where it is not given."""
    given = read_back.arguments(text.decode(errors="replace"), kind) or ()
    pairs = (each.removeprefix("--").partition("=") for each in reversed(given))
    return next((value for name, _, value in pairs if flag_name(name) == flag), "")
