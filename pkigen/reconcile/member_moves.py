"""Members of etcd that move: the address by which their peers know them changes.

etcd keeps that address itself (`etcdctl member list`), and a member that comes back under another one is not
found by its peers. So the cluster is told first (etcd, "Update advertise peer URLs"), one member at a time.
"""

from __future__ import annotations

from pkigen import layout
from pkigen.desired.items import FileKind
from pkigen.desired.rendering import read_back

_START = "--initial-advertise-peer-urls="
_DEFINITIONS = {
    f"{layout.MANIFESTS_DIRECTORY}/etcd.yaml": FileKind.ETCD,
    f"{layout.FLAGS_DIRECTORY}/etcd.env": FileKind.ETCD_FLAGS,
}


def kind_of(path: str) -> FileKind | None:
    """Whether a path in the PKI directory is that of a member's manifest or flags, and of which."""
    found = (kind for place, kind in _DEFINITIONS.items() if path.endswith(place))
    return next(found, None) if path.startswith(f"{layout.NODES}/") else None


def peer_urls(text: bytes, kind: FileKind) -> str | None:
    """By which URLs a member's peers know it, by its manifest or flags; None where they do not say."""
    given = read_back.arguments(text.decode(errors="replace"), kind) or ()
    return next((each.removeprefix(_START) for each in reversed(given) if each.startswith(_START)), None)


def has_moved(path: str, old: bytes, new: bytes) -> bool:
    """Whether a change of this file moves a member of etcd."""
    kind = kind_of(path)
    if kind is None:
        return False
    before, after = peer_urls(old, kind), peer_urls(new, kind)
    return before is not None and after is not None and before != after
