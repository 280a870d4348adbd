"""The people and programs that come in by the kubeconfigs of a foreign cluster's nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pkigen.crypto.names import subject_of
from pkigen.desired.certificates import ADMIN, CERTIFICATES, SUPER_ADMIN, Holder, KubeconfigTo
from pkigen.notation import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.adoption.found import FoundKubeconfig, FoundPair
    from pkigen.adoption.topology import KnownNode

_RESERVED: Final = "system:"
_OWN: Final = frozenset({ADMIN.common_name, SUPER_ADMIN.common_name})
COMPONENT_KUBECONFIGS: Final = frozenset(
    kind.name
    for kind in CERTIFICATES
    if isinstance(kind.place, KubeconfigTo) and kind.holder is not Holder.PERSON
)
"""The names of the kubeconfigs that a cluster itself has, such as admin.conf."""
_HOUR: Final = timedelta(hours=1)


def people(nodes: Iterable[KnownNode]) -> dict[str, FoundKubeconfig]:
    """The first kubeconfig of everybody who is no component, by user name."""
    found: dict[str, FoundKubeconfig] = {}
    for node in nodes:
        for kubeconfig in node.found.kubeconfigs:
            pair = _pair(kubeconfig)
            if pair is None or kubeconfig.spot.path.rpartition("/")[2] in COMPONENT_KUBECONFIGS:
                continue
            name = subject_of(pair.certificate).common_name
            # Components come in as system:…, and so do nodes; an administrator of kubeadm's is no person.
            if name and name not in _OWN and not name.startswith(_RESERVED):
                # The first counts: a second kubeconfig of one person is mostly a copy of it.
                found.setdefault(name, kubeconfig)
    return dict(sorted(found.items()))


def users(nodes: Iterable[KnownNode]) -> Iterator[dict[str, Any]]:
    """The same as entries of a spec's `users`."""
    for name, kubeconfig in people(nodes).items():
        pair = _pair(kubeconfig)
        if pair is not None:
            yield {"name": name, **_granted(pair), "validity": _lifetime(pair), **_reason(pair, kubeconfig)}


def _pair(kubeconfig: FoundKubeconfig) -> FoundPair | None:
    return kubeconfig.current.pair if kubeconfig.current is not None else None


def _granted(pair: FoundPair) -> dict[str, list[str]]:
    groups = sorted(set(subject_of(pair.certificate).organizations))
    return {"groups": groups} if groups else {}


def _reason(pair: FoundPair, kubeconfig: FoundKubeconfig) -> dict[str, str]:
    """A group of Kubernetes' own needs a reason: that it is so already."""
    groups = subject_of(pair.certificate).organizations
    if not any(group.startswith(_RESERVED) for group in groups):
        return {}
    return {"allowSystemIdentity": f"found on {kubeconfig.spot.node} in {kubeconfig.spot.path}"}


def _lifetime(pair: FoundPair) -> str:
    life = pair.certificate.not_valid_after_utc - pair.certificate.not_valid_before_utc
    # Makers date the start back by some minutes, which nobody has asked for.
    return format_duration(max(life // _HOUR * _HOUR, _HOUR))
