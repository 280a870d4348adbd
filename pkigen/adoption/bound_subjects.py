"""As whom certificates come in whose rights hang on what a cluster says of that name or group.

`kubeadm certs renew` keeps a certificate's subject (cmd/kubeadm/app/phases/certs/renewal), and so does a
renewal here: the bindings and flags of a cluster that was taken over are its own, and know no other name.
kubeadm itself has changed the groups of two of these, in v1.29 and v1.36.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pkigen.crypto.names import subject_of
from pkigen.desired.certificates import ADMIN, API_SERVER_KUBELET_CLIENT, FRONT_PROXY_CLIENT
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.adoption.topology import KnownNode
    from pkigen.crypto.names import Subject
    from pkigen.desired.certificates import CertificateKind

_ADMINISTRATOR: Final = "/etc/kubernetes/admin.conf"
_FLAGS: Final = {
    API_SERVER_KUBELET_CLIENT: "kubelet-client-certificate",
    FRONT_PROXY_CLIENT: "proxy-client-cert-file",
}


def kept_subjects(control_plane: Sequence[KnownNode]) -> dict[str, dict[str, Any]]:
    """`certificates.overrides` for the subjects that all nodes have, and that are not the usual ones."""
    found: dict[str, dict[str, Any]] = {}
    for kind in (ADMIN, *_FLAGS):
        subjects = {subject for node in control_plane for subject in _subjects(node, kind)}
        usual = kind.subject("")
        # Nodes that disagree are in the middle of such a change; the usual subject is what they are on their
        # way to.
        if len(subjects) == 1 and subjects != {usual}:
            (own,) = subjects
            found[kind.name] = _override(own, usual)
    return found


def _subjects(node: KnownNode, kind: CertificateKind) -> Iterator[Subject]:
    if kind is ADMIN:
        kubeconfig = node.found.kubeconfig(_ADMINISTRATOR)
        login = kubeconfig.current if kubeconfig is not None else None
        pair = login.pair if login is not None else None
    else:
        pair = node.pair(ComponentName.API_SERVER, _FLAGS[kind])
    if pair is not None:
        yield subject_of(pair.certificate)


def _override(own: Subject, usual: Subject) -> dict[str, Any]:
    named = {"user": own.common_name} if own.common_name != usual.common_name else {}
    grouped = {"groups": list(own.organizations)} if own.organizations != usual.organizations else {}
    return {**named, **grouped}
