"""What a certificate is, whoever made it, and what stops when it ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen.desired.certificates import CERTIFICATES, PROXY, USER, PairAt
from pkigen.desired.generations import Slot

if TYPE_CHECKING:
    from pkigen.cli.reports.status import StatusRow
    from pkigen.desired.certificates import CertificateKind

_KINDS = {kind.name: kind for kind in CERTIFICATES}
_STEMS = {kind.place.stem: kind for kind in CERTIFICATES if isinstance(kind.place, PairAt)}
_NAMES = {
    kind.common_name: kind for kind in CERTIFICATES if "{node}" not in kind.common_name and kind.common_name
}
_OWN_KUBELET = re.compile(r"/kubelet-(client|server)-")
_ACCOUNT = "the API server answers 401 Unauthorized to this service account"
_UNKNOWN = "everybody who verifies it refuses it"
_TRUSTED_ONLY = "nothing: it is only trusted beside the signing CA"


_PEOPLES = 2


def kind_of(row: StatusRow) -> CertificateKind | None:
    """Of which kind a certificate is: by its name, by where it stands, or by its subject."""
    if row.id.startswith("user:"):
        return USER
    if row.id.startswith("proxy:"):
        return PROXY
    if row.name in _KINDS:
        return _KINDS[row.name]
    # Of nodes that pkigen did not make: the kubelet renews these itself, and names the files by the time
    # (client-go util/certificate `fileStore`, `filename`).
    own = _OWN_KUBELET.search(row.path)
    if own is not None:
        return _KINDS["kubelet.conf" if own[1] == "client" else "kubelet-serving"]
    # kubeadm's layout below any pki directory, such as `etcd/server`, which is another kind than `server`.
    stem = row.path.rpartition("/pki/")[2].removesuffix(".crt")
    name = row.path.rpartition("/")[2]
    return _STEMS.get(stem) or _KINDS.get(name) or _by_subject(row)


def _by_subject(row: StatusRow) -> CertificateKind | None:
    if row.certificate is None:
        return None
    names = re.findall(r"CN=([^,+]+)", row.certificate.subject.rfc4514_string())
    return next((_NAMES[name] for name in names if name in _NAMES), None)


def what(row: StatusRow) -> str:
    """What it is called where its node is not said."""
    return row.name if row.node is not None else row.id


def stops(row: StatusRow) -> str:
    """What stops when it ends."""
    if not row.is_certificate:
        return _ACCOUNT
    # Nothing is presented with these generations, so that nothing breaks when one ends.
    other = row.id.removesuffix(Slot.NEXT).removesuffix(Slot.PREVIOUS)
    if other != row.id and other in _KINDS:
        return _TRUSTED_ONLY
    kind = kind_of(row)
    return kind.stops if kind is not None else _UNKNOWN


def weight(row: StatusRow) -> int:
    """How much depends on it, the most first: a CA, what a component reads, what people have."""
    kind = kind_of(row)
    if kind is None:
        return _PEOPLES
    return 0 if kind.issuer is None else 1 if kind.readers else _PEOPLES
